"""What commands are given: wrong words, right ones, and the files that they read."""

from collections.abc import Mapping

MAY_BE_ZERO = {"--seed", "--units", "--random", "--delete", "--between", "--save-seconds"}
MAY_BE_ZERO |= {"--initial-seed"}
INTEGERS = ["0", "1", "2", "3", "5", "-1", "-0", "1.5", "1e3", "1e30", "10**3", "٣", "0x10", " 7 "]
INTEGERS += ["", "nan", "inf", "words", "99999999999999999999", "9223372036854775808", "100000000"]
FLOATS = ["0", "0.1", "1e-3", "-1", "1e30", "nan", "inf", "-inf", "1e999", "", "words", "0,1"]
TEXTS = ["", " ", ".", "..", "/", "~", "--", "-", "\n", "é", "\u2028", "\udcff", "a" * 5000]
TEXTS += ["../../escaped", "/proc/self/mem", "/dev/zero", "/dev/full", "%s", "{0}", "<script>", "*"]
WORDS = ["digits", "cifar10:images", "svhn:images", "cifr10:x", "images", "images/train", "tiny"]
WORDS += ["run", "part", "report", "store", "new", "tiny.toml", "run/run.json", "preresnet8"]
WORDS += ["preresnet20", "resnet8", "vgg15", "veit2016", "smoke", "laptop", "auto", "cpu", "cuda"]
WORDS += ["A", "B", "preact", "original", "fb-cifar", "he-cifar", "resnet-20", "preresnet9999"]
# models that are not our own, and what nearly names one
FOREIGN = ["hf:hf", "own:net", "cut", "pruned", "tv:shufflenet_v2_x0_5", "timm:test_vit"]
FOREIGN += ["tv:resnt18", "tv:", "timm:none", "timm:", "hf:", "hf:images", "hf:cut", "hf:pruned"]
FOREIGN += ["hf:hf/config.json", "hf:../hf", "own:nothing", "own:nn", "own:", ":net", "own.net"]
FOREIGN += ["os:getcwd", "sys:exit", "json:loads", "torch:nn", "hf", "own.py", "dissected"]
FOREIGN += ["own.safetensors", "run/weights.safetensors", "text.txt", "new.onnx", "new.pt2"]
IMAGES = ["--data", "images"]
TEXT = ["--data", "text.txt", "--length", "8"]
NEW = ["--output", "new"]
FILLED = ["own:net", "--weights", "own.safetensors"]
NAMES = ["run", "--as", "fb", "--output", "new.safetensors"]
MEASURED = [
    *[["run", *IMAGES]] * 3,
    *[["hf:hf", *TEXT], [*FILLED, *IMAGES], ["own:net", *IMAGES]],
]  # fmt: skip
# one of the lists of each, dear ones seldom
VALID: Mapping[str, list[list[str]]] = {
    "ls": [[]],
    "info": [["preresnet8"]],
    "runs": [["."]],
    "eval": [["run", *IMAGES]],
    "train": [["preresnet8", *IMAGES, "--recipe", "tiny.toml", *NEW]],
    "diff": [["run", "part"]],
    "study": [["veit2016", "--plan", "--scale", "smoke"]],
    "report": [["report"]],
    "lesion": MEASURED,
    "similarity": MEASURED,
    "paths": [["preresnet8"], ["hf:hf", "--length", "8"], ["own:net", "--image-size", "8"],
              ["pruned"]],
    "discover": [["preresnet8"], ["hf:hf", "--length", "8"], [*FILLED, "--image-size", "8"],
                 ["cut"], ["pruned"], ["tv:shufflenet_v2_x0_5", "--image-size", "32"],
                 ["timm:test_vit"]],
    "dissect": [["preresnet8", *IMAGES, "--examples", "4", *NEW],
                [*FILLED, *IMAGES, "--examples", "2", *NEW],
                ["own:net", *IMAGES, "--examples", "2", "--output", "dissected"],
                ["hf:hf", *TEXT, "--examples", "2", *NEW]],
    "prune": [*[["preresnet8", *IMAGES, "--examples", "4", "--units", "1", *NEW]] * 7,
              *[[*FILLED, *IMAGES, "--examples", "2", "--units", "1", *NEW]] * 2,
              ["hf:hf", *TEXT, "--examples", "2", "--units", "1", *NEW]],
    "export": [NAMES, NAMES, NAMES, NAMES,
               ["own:net", "--as", "pt2", "--image-size", "8", "--output", "new.pt2"],
               ["run", "--as", "hf", *NEW],
               ["hf:hf", "--as", "hf", "--length", "8", *NEW],
               ["own:net", "--as", "onnx", "--image-size", "8", "--output", "new.onnx"]],
}  # fmt: skip
READING: Mapping[str, list[str]] = {
    "eval": ["eval", "run", *IMAGES, "--json"],
    "lesion": ["lesion", "run", *IMAGES, "--json"],
    "runs": ["runs", ".", "--json"],
    "diff": ["diff", "run", "part", "--json"],
    "train": ["train", "preresnet8", *IMAGES, "--recipe", "tiny.toml", "--output", "run", "--json"],
    "resume": ["train", "preresnet8", *IMAGES, "--recipe", "tiny.toml", "--output", "part",
               "--json"],
    "report": ["report", "report"],
    "log": ["log"],
    "pruned": ["lesion", "pruned", *IMAGES, "--json"],
    "hf": ["lesion", "hf:hf", *TEXT, "--json"],
    "cut": ["lesion", "cut", *TEXT, "--json"],
    "own": ["lesion", *FILLED, *IMAGES, "--json"],
    "own discover": ["discover", *FILLED, "--image-size", "8", "--json"],
    "dissected": ["dissect", "own:net", *IMAGES, "--examples", "2", "--output", "dissected",
                  "--json"],
}  # fmt: skip
READERS = {
    "run/run.json": ["eval", "lesion", "runs", "diff", "train"],
    "run/done.json": ["eval", "runs", "train"],
    "run/structure.txt": ["eval", "diff"],
    "run/weights.safetensors": ["eval", "train"],
    "run/metrics.jsonl": ["eval", "train"],
    "run/.lock": ["eval", "runs", "train"],
    "run/checkpoints": ["eval", "runs", "train"],
    "part/run.json": ["resume", "runs"],
    "part/.lock": ["resume", "runs"],
    "part/metrics.jsonl": ["resume"],
    "part/checkpoints": ["resume", "runs"],
    "tiny.toml": ["train"],
    "report/study.json": ["report"],
    "store/jobs.jsonl": ["log"],
    "pruned": ["pruned"],
    "cut": ["cut"],
    "hf": ["hf"],
    "own.py": ["own", "own discover"],
    "own.safetensors": ["own", "own discover"],
    "text.txt": ["hf"],
    "dissected/parts.jsonl": ["dissected"],
    "dissected/dissection.json": ["dissected"],
}
# what is its owner's to change: nothing that is kept beside it says what it was
FREE = ("tiny.toml", "hf/", "own.", "text.txt")
# folders of the place that a command may write into
WRITES = {"train": ("run/", "part/"), "study": ("store/", "report/"), "dissect": ("dissected/",)}
