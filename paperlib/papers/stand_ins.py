"""Which data set of the papers each of ours is or stands for."""

STANDS_FOR = {  # ours: the papers'
    **dict.fromkeys(("synth_ssv2", "synth_ssv2_hard", "mini_ssv2", "ssv2"), "SSV2"),
    **dict.fromkeys(("synth_kinetics", "synth_kinetics_hard", "mini_kinetics", "kinetics400"), "Kinetics"),
    **dict.fromkeys(("synth_mit", "synth_mit_hard", "mini_mit", "mit"), "MiT"),
    **dict.fromkeys(("synth_kth", "synth_kth_hard", "kth"), "KTH"),
}
