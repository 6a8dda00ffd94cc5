"""Names of torchvision's faster_rcnn.py, mask_rcnn.py and rpn.py for the parts of R-CNN beside backbone and pyramid."""

from __future__ import annotations

from resnet_jax.models.spec import ModuleName

# The first dense layer after the convolutions of a box head with norms is the fifth module of that head.
RCNN_MODULES = (
    ModuleName("rpn.head.conv.{l}.0", "rpn/conv{k}"),
    ModuleName("rpn.head.cls_logits", "rpn/cls_logits"),
    ModuleName("rpn.head.bbox_pred", "rpn/bbox_pred"),
    ModuleName("roi_heads.box_head.fc{k}", "box_head/fc{k}"),
    ModuleName("roi_heads.box_predictor.cls_score", "box_predictor/cls_score"),
    ModuleName("roi_heads.box_predictor.bbox_pred", "box_predictor/bbox_pred"),
    ModuleName("roi_heads.mask_head.{l}.0", "mask_head/conv{k}"),
    ModuleName("roi_heads.mask_head.{l}.1", "mask_head/norm{k}"),
    ModuleName("roi_heads.mask_predictor.conv5_mask", "mask_predictor/conv5_mask"),
    ModuleName("roi_heads.mask_predictor.mask_fcn_logits", "mask_predictor/mask_fcn_logits"),
)
RCNN_V2_MODULES = (
    ModuleName("roi_heads.box_head.{l}.0", "box_head/conv{k}"),
    ModuleName("roi_heads.box_head.{l}.1", "box_head/norm{k}"),
    ModuleName("roi_heads.box_head.5", "box_head/fc6"),
    *RCNN_MODULES,
)
# Until 0.12 there was no ".0" before the arrays' names, one convolution in the proposals' head, and "mask_fcn1", ...
RCNN_RENAMES = (
    (r"rpn\.head\.conv\.(weight|bias)", r"rpn.head.conv.0.0.\1"),
    *(
        (rf"roi_heads\.mask_head\.mask_fcn{number + 1}\.(weight|bias)", rf"roi_heads.mask_head.{number}.0.\1")
        for number in range(16)
    ),
)
