"""Pictures of the gate statistics: the distribution of G per layer, and the share that is inhibited."""

from collections.abc import Sequence

from .figures import colour, marker, muted, new_figure


def draw_gates(rows: Sequence[dict], background: str = "light"):
    """Draw the distribution of G per layer, one panel per side.

    Args:
        rows: those of `GateRecorder.rows`, each with its `variant`.

    Returns:
        The `matplotlib` figure; None if there is no gate.
    """
    rows = [row for row in rows if row["kind"] == "gate"]
    if not rows:
        return None
    sides, variants = _distinct(rows, "place"), _distinct(rows, "variant")
    layers = sorted({row["layer"] for row in rows})
    with new_figure((1.6 + len(sides) * max(3.6, 0.12 * len(layers) * len(variants)), 4), background) as figure:
        grid = figure.subplots(1, len(sides), squeeze=False, sharey=True)[0]
        paper = figure.get_facecolor()
        for axes, side in zip(grid, sides, strict=True):
            for number, variant in enumerate(variants):
                chosen = [row for row in rows if (row["place"], row["variant"]) == (side, variant)]
                at = [row["layer"] + 0.7 * ((number + 0.5) / len(variants) - 0.5) for row in chosen]
                look = {"color": colour(number, background)}
                for low, high, width in ((0.05, 0.95, 1), (0.25, 0.75, 3.5)):
                    ends = ([row[f"quantile_{share}"] for row in chosen] for share in (low, high))
                    axes.vlines(at, *ends, linewidth=width, **look)
                medians = [row["quantile_0.5"] for row in chosen]
                axes.plot(at, medians, marker(number), markersize=6, mfc=paper, label=variant, **look)
            axes.axhline(1, color="gray", linewidth=0.8, zorder=0)
            axes.set_title(f"{side} side", size=10)
            axes.set(xlabel="layer")
            axes.set_xticks(layers[:: 1 + len(layers) // 13])
            axes.set_xlim(layers[0] - 0.6, layers[-1] + 0.6)
            axes.grid(axis="y", alpha=0.2)
        grid[0].set_ylabel("G: factor on the projection")
        handles, labels = grid[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=min(len(variants), 6), fontsize=9)
        figure.suptitle("Gates: median, middle 50 % and middle 90 % of all entries; 1 lets through", size=10)
    return figure


def draw_inhibited(rows: Sequence[dict], background: str = "light"):
    """Draw the share of gate entries or ranks below the threshold, as a map: variants and places × layers.

    Args, returns: as in `draw_gates`.
    """
    if not rows:
        return None
    names = list(dict.fromkeys(_name(row) for row in rows))
    layers = sorted({row["layer"] for row in rows}, key=lambda layer: (layer is None, layer or 0))
    values = {(_name(row), row["layer"]): row["share_inhibited"] for row in rows}
    size = (3.2 + 0.075 * max(map(len, names)) + 0.5 * len(layers), 1.8 + 0.32 * len(names))
    with new_figure(size, background) as figure:
        axes = figure.subplots()
        cells = [[values.get((name, layer), float("nan")) for layer in layers] for name in names]
        image = axes.imshow(cells, cmap="cividis", vmin=0, vmax=1, aspect="auto")
        for (name, layer), value in values.items():
            ink = "white" if value < 0.5 else "black"
            place = layers.index(layer), names.index(name)
            axes.text(*place, f"{100 * value:.0f}", ha="center", va="center", size=8, color=ink)
        axes.set_xticks(range(len(layers)), ["outside" if layer is None else layer for layer in layers])
        axes.set_yticks(range(len(names)), names, size=9)
        axes.set(xlabel="layer", facecolor=muted(background))
        figure.colorbar(image, label="share inhibited")
        figure.suptitle("Entries of gates, or ranks of branches,\nbelow the threshold (%)", size=10)
    return figure


def _name(row: dict) -> str:
    return f"{row['variant']}: {row['place']}{' gate' * (row['kind'] == 'gate')}"


def _distinct(rows: Sequence[dict], key: str) -> list:
    return list(dict.fromkeys(row[key] for row in rows))
