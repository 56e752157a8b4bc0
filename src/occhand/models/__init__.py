"""HandOccNet and HandGCAT, and every ablation of their papers."""
