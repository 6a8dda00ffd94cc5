import jax.numpy as jnp
import numpy as np
import pytest
import recipe

from resnet_jax.models import create_model
from resnet_jax.models.context import BlockContext
from resnet_jax.models.heads import AttentionPoolHead


@pytest.mark.parametrize("side", [5, 7, 9])
def test_position_embeddings_are_interpolated_as_in_pytorch(x64, side):
    """Bicubic and antialiased; the embedding of the mean does not change."""
    golden = np.load(recipe.GOLDEN / "timm" / "pos_embed.npz")
    resized = AttentionPoolHead(BlockContext(), 0)._resized(jnp.asarray(golden["pos_embed"]), (side, side))
    np.testing.assert_allclose(resized, golden["pos_embed" if side == 7 else f"to_{side}"], rtol=0, atol=1e-13)


def test_another_pooling_is_refused_where_attention_pools():
    with pytest.raises(ValueError, match="global_pool: expected avg for a head that pools by attention, got 'max'"):
        create_model("resnet50_clip", global_pool="max")
