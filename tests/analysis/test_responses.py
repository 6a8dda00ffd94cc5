import jax
import numpy as np
import recipe

from resnet_jax.analysis.responses import layer_responses


def test_responses_are_deviations_of_normalised_layers():
    model = recipe.small("cifar_resnet20_b", 1)
    variables = recipe.variables(model)
    images = np.random.default_rng(0).standard_normal((4, 8, 8, 3)).astype(np.float32)
    responses = layer_responses(model, variables, jax.numpy.asarray(images))
    blocks = [f"stage{stage}_block0/branch/norm{i}" for stage in (1, 2, 3) for i in (1, 2)]
    assert list(responses) == ["stem/norm", *blocks]
    _, captured = model.apply(variables, images, train=False, capture_intermediates=True, mutable=["intermediates"])
    for path, value in responses.items():
        *modules, norm = path.split("/")
        module = captured["intermediates"]
        for name in (*modules, norm):
            module = module[name]
        np.testing.assert_allclose(value, np.std(module["__call__"][0]), rtol=1e-5)
