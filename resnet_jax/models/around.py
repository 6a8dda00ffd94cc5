"""Nets around another net, whose options are theirs too."""

from __future__ import annotations

from typing import Any, ClassVar

import flax.linen as nn

from resnet_jax.models.resnet import ResNet, Stage
from resnet_jax.types import Dtype

FLAX_ARGUMENTS = ("_deep_clone", "_reset_names")  # of `flax.linen.Module.clone`


class NetAround(nn.Module):
    """A net whose field `inner` holds a `ResNet`: options of that read as attributes, and `clone` passes them on."""

    inner: ClassVar[str] = "backbone"

    @property
    def inner_net(self) -> ResNet:
        return getattr(self, self.inner)

    @property
    def stages(self) -> tuple[Stage, ...]:
        return self.inner_net.stages

    @property
    def in_channels(self) -> int:
        return self.inner_net.in_channels

    @property
    def image_size(self) -> int | tuple[int, ...]:
        return self.inner_net.image_size

    @property
    def dtype(self) -> Dtype:
        return self.inner_net.dtype

    @property
    def param_dtype(self) -> Dtype:
        return self.inner_net.param_dtype

    @property
    def bn_axis(self) -> str | None:
        return self.inner_net.bn_axis

    @property
    def bn_group_size(self) -> int | None:
        return self.inner_net.bn_group_size

    @property
    def norm(self) -> Any:
        return self.inner_net.norm

    @property
    def conv(self) -> Any:
        return self.inner_net.conv

    @nn.nowrap
    def clone(self, *, parent: Any = None, **updates: Any) -> Any:
        """`flax.linen.Module.clone`; fields that only the inner net has change there."""
        fields_here = {*type(self).__dataclass_fields__, *FLAX_ARGUMENTS}
        options = {name: updates.pop(name) for name in updates.keys() - fields_here}
        if options:
            updates[self.inner] = updates.get(self.inner, self.inner_net).clone(**options)
        if parent is None and updates.get("name") is not None:
            return self.copy(**updates)
        return super().clone(parent=parent, **updates)
