"""Does the power measured with synthetic defects say what is found of real ones? Settings x datasets.

    python benchmarks/power.py ROOT... [--backbone NAME|FILE.onnx ...] [--skip SETTING ...] [--images 16] [--rate 0.05]
                               [--from FILE.json] [--json FILE] [--markdown FILE]

For each dataset and each of `SETTINGS` (and each further backbone): the share found of synthetic defects drawn into its
normal images, by kind and size, and the share found of its real defects, at the same rate of false alarms. Then: rank
correlation of both over the settings; the regret of the setting that synthetic defects recommend, which is how much
less it finds than the best setting does; the same by kind; and the mix of kinds that recommends best, chosen in rounds
that leave one dataset out.
"""

import argparse
import itertools
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from anomalign import AnomalignError, Bank, Detector, Inspection
from anomalign.backbones.backbone import BUNDLED
from anomalign.calibration.thresholds import best_rate
from anomalign.detection import trials
from anomalign.detection.power import DetectionPower
from anomalign.evaluation import auroc
from anomalign.evaluation.datasets import open_dataset
from anomalign.synthetic import KINDS, SIZES

NOW = "as it is"
SETTINGS = (
    "size=320", "size=448", "grid_level=1", "grid_level=3", "gallery_size=3", "gallery_size=30", "kappa=3",
    "top_share=0.02", "descriptor=pooled", "decided_by=alignment", "decided_by=retrieval", "normals=half",
)  # fmt: skip
_DRAWS = 2000


def measured(category, settings: Sequence[str], images: int, rate: float) -> Iterator[dict]:
    with tempfile.TemporaryDirectory(prefix="anomalign-") as folder:
        bank = Bank.create(Path(folder) / "bank", BUNDLED)
        bank.add(category.train)
        usual = Detector(bank)
        usual.calibrate()
        detector = usual.at_rate(max(rate, best_rate(usual.groups.count)))
        most = min(images, len(bank) // 2)
        plan = detector.plan_defects(most)
        now: DetectionPower | None = None
        for number, setting in enumerate((NOW, *settings)):
            if setting == "normals=half":
                if len(bank) < 80:
                    continue  # half of them do not support the rate
                setting = f"normals={len(bank) // 2}"
            try:
                other = detector
                if setting != NOW:
                    other = trials.changed(detector, plan, setting, Path(folder) / str(number))
                    other.calibrate()
                power = other.check_plan(plan)
            except AnomalignError as error:
                print(f"{category.name}, {setting}: {error}", flush=True)
                continue
            now = now or power
            gains = trials._gains(now, power)
            table = [[power.share(kind, size).value for size in SIZES] for kind in KINDS]
            row = {"data": category.name, "setting": setting, "power": power.value, "table": table}
            row |= {"gain": float(gains.mean()), "p_value": 1.0 if setting == NOW else trials._p_value(gains)}
            yield row | {"rate": other.target_fpr, "groups": other.groups.count} | real(other, category)


def real(detector: Detector, category) -> dict:
    results = list(detector.inspect_many([image.path for image in category.test]))
    pairs = [(t, r) for t, r in zip(category.test, results, strict=True) if isinstance(r, Inspection)]
    defects = [r for t, r in pairs if t.anomalous]
    good = [r for t, r in pairs if not t.anomalous]
    return {
        "found": sum(r.verdict == "anomalous" for r in defects),
        "defects": len(defects),
        "false_alarms": sum(r.verdict == "anomalous" for r in good),
        "good": len(good),
        "auroc": auroc([r.image_score for r in good], [r.image_score for r in defects]),
    }


def share(row: dict) -> float:
    return row["found"] / row["defects"]


def named(row: dict) -> str:
    return "normals=half" if "normals=" in row["setting"] else row["setting"]


def cell(row: dict) -> str:
    return f"{row['power']:.3f} / {share(row):.2f} ({row['false_alarms']}/{row['good']}), {row['auroc']:.3f}"


def by_kinds(row: dict, kinds: Sequence[str]) -> float:
    """Mean over these kinds, and all sizes, of the share found."""
    return float(np.nanmean([row["table"][KINDS.index(kind)] for kind in kinds]))


def regret(rows: Sequence[dict], kinds: Sequence[str], of=share) -> float:
    """How much less of the real defects the setting finds that these kinds recommend, than the best setting."""
    return max(map(of, rows)) - of(max(rows, key=lambda row: by_kinds(row, kinds)))


def correlation(groups: Sequence[Sequence[dict]], kinds: Sequence[str], of=share) -> tuple[float, float, float]:
    """Mean over datasets of Spearman's rank correlation over settings, and its 95 % interval: settings are redrawn."""
    random, values = np.random.default_rng(0), []
    pairs = [np.array([[by_kinds(row, kinds), of(row)] for row in rows]) for rows in groups]
    for draw in range(_DRAWS + 1):
        each = []
        for pair in pairs:
            some = pair if draw == 0 else pair[random.integers(len(pair), size=len(pair))]
            if np.ptp(some[:, 0]) > 0 and np.ptp(some[:, 1]) > 0:
                each.append(spearmanr(some[:, 0], some[:, 1]).statistic)
        values.append(np.mean(each) if each else np.nan)
    drawn = [value for value in values[1:] if np.isfinite(value)]
    low, high = np.quantile(drawn, (0.025, 0.975)) if drawn else (np.nan, np.nan)
    return float(values[0]), float(low), float(high)


def advised(rows: Sequence[dict]) -> dict:
    """The setting that `check --try` would recommend: the largest gain that is more than luck (Holm), or none."""
    now, others = rows[0], list(rows[1:])
    order = sorted(others, key=lambda row: row["p_value"])
    certain, least = [], 0.0
    for rank, row in enumerate(order):
        least = max(least, min(1.0, (len(order) - rank) * row["p_value"]))
        if least <= 0.05 and row["gain"] > 0:
            certain.append(row)
    return max(certain, key=lambda row: row["gain"], default=now)


def tables(rows: Sequence[dict]) -> Iterator[str]:
    groups = [list(one) for _, one in itertools.groupby(rows, key=lambda row: row["data"])]
    names = [one[0]["data"] for one in groups]
    settings = list(dict.fromkeys(map(named, rows)))
    yield "Share found of synthetic defects / of real defects (false alarms), image AUROC:\n"
    yield "| setting | " + " | ".join(names) + " |"
    yield "|" + "---|" * (len(names) + 1)
    for setting in settings:
        cells = []
        for one in groups:
            match = [
                r for r in one if r["setting"] == setting or (setting == "normals=half" and "normals" in r["setting"])
            ]
            cells += [
                f"{r['power']:.3f} / {share(r):.2f} ({r['false_alarms']}/{r['good']}), {r['auroc']:.3f}" for r in match
            ]
            cells += [""] * (not match)
        yield f"| {setting} | " + " | ".join(cells) + " |"
    for title, of in (("share found of real defects", share), ("image AUROC", lambda row: row["auroc"])):
        yield f"\nBy {title}: rank correlation with synthetic power over the settings (95 % interval), and what"
        yield "the default, the setting of most power and the one that is advised lose to the best setting:\n"
        yield "| data | rank correlation | best | default | most power | advised | most power is | advised is |"
        yield "|---|---|---|---|---|---|---|---|"
        lost = []
        for name, one in zip(names, groups, strict=True):
            best, most, take = max(map(of, one)), max(one, key=lambda r: by_kinds(r, KINDS)), advised(one)
            lost.append([best - of(one[0]), best - of(most), best - of(take)])
            value, low, high = correlation([one], KINDS, of)
            told = f"{value:+.2f} ({low:+.2f} to {high:+.2f})" if np.isfinite(value) else "all find the same"
            cells = [told, f"{best:.3f}", *(f"{x:.3f}" for x in lost[-1])]
            yield f"| {name} | " + " | ".join([*cells, most["setting"], take["setting"]]) + " |"
        value, low, high = correlation(groups, KINDS, of)
        means = " | ".join(f"{x:.3f}" for x in np.mean(lost, axis=0))
        yield f"| mean | {value:+.2f} ({low:+.2f} to {high:+.2f}) | | {means} | | |"
        yield "\n| kind | rank correlation | its recommendation loses |\n|---|---|---|"
        for kind in KINDS:
            value, low, high = correlation(groups, [kind], of)
            loss = np.mean([regret(one, [kind], of) for one in groups])
            yield f"| {kind} | {value:+.2f} ({low:+.2f} to {high:+.2f}) | {loss:.3f} |"
        yield "\nRounds: the mix of kinds that loses least on the other datasets, and its loss on the one left out:\n"
        yield "| left out | kinds | loses | all kinds lose | default loses |\n|---|---|---|---|---|"
        mixes = [mix for count in (1, 2, 3, len(KINDS)) for mix in itertools.combinations(KINDS, count)]
        sums = []
        for place, (name, one) in enumerate(zip(names, groups, strict=True)):
            others = groups[:place] + groups[place + 1 :]
            best_mix = min(mixes, key=lambda mix: sum(regret(other, mix, of) for other in others)) if others else KINDS
            default = max(map(of, one)) - of(one[0])
            sums.append([regret(one, best_mix, of), regret(one, KINDS, of), default])
            yield f"| {name} | {', '.join(best_mix)} | " + " | ".join(f"{x:.3f}" for x in sums[-1]) + " |"
        yield "| mean | | " + " | ".join(f"{x:.3f}" for x in np.mean(sums, axis=0)) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description="Compare the power by synthetic defects with what is found of real ones."
    )
    parser.add_argument("roots", type=Path, nargs="*")
    parser.add_argument("--backbone", nargs="+", default=[])
    parser.add_argument("--skip", nargs="+", default=[], choices=SETTINGS, help="settings to leave out")
    parser.add_argument("--images", type=int, default=16, help="normal images that defects are drawn into")
    parser.add_argument("--rate", type=float, default=0.05)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--from", dest="stored", type=Path, help="results of an earlier run, of other datasets")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    settings = [setting for setting in SETTINGS if setting not in options.skip]
    settings += [f"backbone={name}" for name in options.backbone]
    rows = json.loads(options.stored.read_text()) if options.stored else []
    for root in options.roots:
        for category in open_dataset(root).categories:
            for row in measured(category, settings, options.images, options.rate):
                rows.append(row)
                print({key: row[key] for key in row if key != "table"}, flush=True)
                if options.json:
                    options.json.write_text(json.dumps(rows, indent=1))
    text = "\n".join(tables(rows))
    print(text)
    if options.markdown:
        options.markdown.write_text(text + "\n")


if __name__ == "__main__":
    main()
