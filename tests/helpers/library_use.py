"""A project of somebody else's: a net of ours, a training loop of their own, nothing but jax, flax and optax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax

from resnet_jax import TrainState, create_model, get_spec, make_eval_step, make_train_step
from resnet_jax.weights.labels import label_set

model = create_model("cifar_resnet8", num_classes=3)
images = np.random.default_rng(0).standard_normal((6, 16, 16, 3)).astype(np.float32)
labels = np.arange(6, dtype=np.int32) % 3

# Entirely their own step, with the net as any linen module.
variables = model.init(jax.random.key(0), images, train=False)
tx = optax.adam(1e-2)


@jax.jit
def step(variables, opt_state):
    def loss(params):
        outputs, updated = model.apply({**variables, "params": params}, images, train=True, mutable=["batch_stats"])
        return optax.softmax_cross_entropy_with_integer_labels(outputs.logits, labels).mean(), updated

    (value, updated), gradient = jax.value_and_grad(loss, has_aux=True)(variables["params"])
    updates, opt_state = tx.update(gradient, opt_state)
    return {"params": optax.apply_updates(variables["params"], updates), **updated}, opt_state, value


opt_state, losses = tx.init(variables["params"]), []
for _ in range(5):
    variables, opt_state, value = step(variables, opt_state)
    losses.append(float(value))
assert losses[-1] < losses[0], losses

# The library's step, in a plain jit.
state = TrainState.create(model, tx, jax.random.key(0), images)
batch = {"image": jnp.asarray(images), "label": jnp.asarray(labels)}
state, metrics = jax.jit(make_train_step(model, tx, axis_name=None))(state, batch)
assert int(state.step) == 1 and float(metrics["count"]) == 6
metrics = jax.jit(make_eval_step(model, axis_name=None))(state, batch)
assert np.isfinite(float(metrics["loss"]))

# Data files of the package.
weights = get_spec("resnet50").pretrained[0]
assert len(label_set(weights.labels)) == weights.classes == 1000
print("ok", jax.__version__)
