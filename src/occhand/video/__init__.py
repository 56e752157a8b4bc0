"""Hands in videos: frames in, tracks of hands through time, smoothed, and written in every form."""
