"""What to cite, as BibTeX. `CITATION.cff`, which is not installed, has the same entries; a test compares them."""

ENTRIES = {
    "ginets": """@software{ginets,
  title = {ginets: inhibition-style adaptation of Transformers},
  author = {{The ginets authors}},
  version = {0.1.0},
}""",
    "ina": """@article{kang2024ina,
  title = {InA: Inhibition Adaption on pre-trained language models},
  author = {Kang, Cheng and Prokop, Jindrich and Tong, Lei and Zhou, Huiyu and Hu, Yong and Novak, Daniel},
  year = {2024},
  journal = {Neural Networks},
  volume = {178},
  pages = {106410},
}""",
    "gi": """@article{kang2022gimlps,
  title = {giMLPs: Gate with Inhibition Mechanism in MLPs},
  author = {Kang, Cheng and Prokop, Jindrich and Tong, Lei and Zhou, Huiyu and Hu, Yong and Novak, Daniel},
  year = {2022},
  url = {https://arxiv.org/abs/2208.00929},
}""",
    "mtlora": """@article{liang2024mtlora,
  title = {Matrix-Transformation Based Low-Rank Adaptation (MTLoRA): A Brain-Inspired Method for Parameter-Efficient Fine-Tuning},
  author = {Liang, Yao and Wang, Yuwei and Li, Yang and Zeng, Yi},
  year = {2024},
  url = {https://arxiv.org/abs/2403.07440},
}""",
    "aflora": """@article{liu2024aflora,
  title = {AFLoRA: Adaptive Freezing of Low Rank Adaptation in Parameter Efficient Fine-Tuning of Large Models},
  author = {Liu, Zeyu and Kundu, Souvik and Li, Anni and Wan, Junrui and Jiang, Lianghao and Beerel, Peter Anthony},
  year = {2024},
  url = {https://arxiv.org/abs/2403.13269},
}""",
    "sora": """@inproceedings{ding2023sora,
  title = {Sparse Low-rank Adaptation of Pre-trained Language Models},
  author = {Ding, Ning and Lv, Xingtai and Wang, Qiaosen and Chen, Yulin and Zhou, Bowen and Liu, Zhiyuan and Sun, Maosong},
  year = {2023},
  booktitle = {Proceedings of the 2023 Conference on Empirical Methods in Natural Language Processing},
  url = {https://arxiv.org/abs/2311.11696},
}""",
}


def citation(*methods: str) -> str:
    """The entries of the package and of the methods that have one (`gi`, `ina`, `mtlora`, `aflora`, `sora`)."""
    return "\n\n".join(ENTRIES[name] for name in dict.fromkeys(("ginets", *methods)) if name in ENTRIES)
