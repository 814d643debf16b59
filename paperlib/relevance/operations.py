"""The tensor operations that have relevance rules, sorted by what they do, under their ATen names."""

CONVOLUTIONS = {"conv1d", "conv2d", "conv3d", "convolution", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d"}
PRODUCTS = {"linear", "addmm", "mm", "bmm", "matmul", "baddbmm", "einsum", "mv", "addmv"}
ACTIVATIONS = set(
    """
    _log_softmax _safe_softmax _softmax abs celu clamp clamp_max clamp_min elu exp gelu hardsigmoid hardswish hardtanh
    leaky_relu log log_softmax logsigmoid mish neg pow prelu relu relu6 rrelu selu sigmoid silu softmax softplus
    softsign sqrt square tanh threshold
    """.split()
)
NORMS = set(
    """
    _native_batch_norm_legit_no_training batch_norm native_batch_norm native_layer_norm layer_norm native_group_norm
    group_norm instance_norm rms_norm _fused_rms_norm
    """.split()
)
COPIES = set(
    """
    dropout clone alias detach contiguous _to_copy to lift_fresh_copy copy native_dropout feature_dropout
    alpha_dropout type_as
    """.split()
)
ROUTES = set(
    """
    _unsafe_view adjoint as_strided broadcast_to cat channel_shuffle chunk constant_pad_nd diagonal expand
    expand_as flatten flip gather index index_copy index_put index_select mH mT masked_fill matrix_H movedim narrow
    numpy_T pad permute pixel_shuffle pixel_unshuffle reflection_pad1d reflection_pad2d reflection_pad3d repeat
    repeat_interleave replication_pad1d replication_pad2d replication_pad3d reshape roll scatter select
    select_scatter slice slice_scatter split split_with_sizes squeeze stack swapaxes t tensor_split transpose
    unbind unflatten unfold unsqueeze upsample_nearest1d upsample_nearest2d upsample_nearest3d view view_as where
    """.split()
)
SUMS = set(
    """
    add sub rsub sum mean cumsum avg_pool1d avg_pool2d avg_pool3d adaptive_avg_pool1d adaptive_avg_pool2d
    adaptive_avg_pool3d _adaptive_avg_pool2d _adaptive_avg_pool3d upsample_linear1d upsample_bilinear2d
    upsample_trilinear3d
    """.split()
)
MAXIMA = set(
    """
    max_pool1d max_pool2d max_pool3d max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d
    adaptive_max_pool3d amax max maximum
    """.split()
)
SCALINGS = {"mul", "div"}
SOFTMAXES = {"softmax", "_softmax", "_safe_softmax"}
# what turns every element into another, alone or with constants
ELEMENTWISE = ACTIVATIONS - SOFTMAXES - {"_log_softmax", "log_softmax"} | SCALINGS | COPIES
ELEMENTWISE |= {"add", "sub", "rsub", "erf"}
