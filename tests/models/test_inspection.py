"""What can be seen inside, against the network's own numbers."""

import pytest
import torch

from occhand.models.inspection import inspect
from occhand.models.presets import PRESETS, build_model
from tests.models.conftest import small, small_inputs


@pytest.fixture(
    scope="module", params=["handoccnet", "handgcat", "handoccnet-softmax", "handoccnet-identity", "handgcat-plain-transformers"]
)
def model(request, open_hand):
    torch.manual_seed(0)
    model = build_model(small(PRESETS[request.param].config), open_hand).eval()
    for p in model.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return model


def test_looking_changes_nothing(model):
    inputs = small_inputs(model.config)
    inspection = inspect(model, inputs)
    pairs = zip(inspection.output, model(inputs), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs if a is not None or b is not None)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_network_in_training_is_looked_at_as_in_evaluation(open_hand):
    torch.manual_seed(0)
    model = build_model(small(PRESETS["handoccnet"].config), open_hand)
    inputs = small_inputs(model.config)
    statistics = {key: value.clone() for key, value in model.state_dict().items()}
    joints = inspect(model, inputs).output.joints
    assert model.training
    assert all(torch.equal(value, statistics[key]) for key, value in model.state_dict().items())
    assert torch.equal(joints, model.eval()(inputs).joints)


def test_attention_is_a_distribution_over_keys(model):
    inspection = inspect(model, small_inputs(model.config))
    for weights in inspection.attention.values():
        torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))


def test_handoccnet_maps(open_hand):
    torch.manual_seed(0)
    model = build_model(small(PRESETS["handoccnet"].config), open_hand).eval()
    for p in model.parameters():  # as it starts, all its pixels attend alike
        torch.nn.init.normal_(p, std=0.2)
    inspection = inspect(model, small_inputs(model.config))
    assert set(inspection.feature_norms) == {"trunk", "primary", "secondary", "fit", "set"}
    # The necessity map splits the feature.
    torch.testing.assert_close(inspection.feature_norms["primary"], inspection.feature_norms["trunk"] * inspection.necessity)
    assert set(inspection.gates) == {"fit.blocks.0", "fit.blocks.1"}
    correlation = inspection.correlation_from(0.99, 0.3)
    query = 2 * 8 + 7  # the row of y = 0.3 and the last column of 8
    expected = (inspection.attention["fit.blocks.0"] * inspection.gates["fit.blocks.0"])[:, :, query].mean(1)
    torch.testing.assert_close(correlation.flatten(1), expected)
    with pytest.raises(ValueError, match=r"choose one of fit\.blocks\.0"):
        inspection.correlation_from(0.5, 0.5, "fit")
    with pytest.raises(ValueError, match="outside of the crop"):
        inspection.correlation_from(1.0, 0.5)


def test_attention_gives_what_the_module_gives(open_hand):
    torch.manual_seed(0)
    model = build_model(small(PRESETS["handgcat"].config), open_hand).eval()
    kept = {}
    block = model.cat.blocks[0].image_from_pose
    handle = block.attention.register_forward_hook(lambda module, args, output: kept.update(value=args[2], output=output))
    inspection = inspect(model, small_inputs(model.config))
    handle.remove()
    weights = inspection.attention["cat.blocks.0.image_from_pose"]
    assert weights.shape == (2, 4, 16, 21)
    heads = kept["value"].unflatten(2, (4, -1)).transpose(1, 2)
    torch.testing.assert_close((weights @ heads).transpose(1, 2).flatten(2), kept["output"], atol=1e-6, rtol=1e-5)
    with pytest.raises(ValueError, match="use HandOccNet"):
        inspection.correlation_from(0.5, 0.5)
