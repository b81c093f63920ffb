"""The plan of an edits space: what each layer may become, and which token says so."""

import dataclasses
from collections.abc import Mapping

from greennas_jax.spaces import edits_blocks, edits_choices, edits_graph
from greennas_jax.spaces.edits_blocks import Shortcut
from greennas_jax.spaces.edits_choices import EditsConfig, Kernel
from greennas_jax.spaces.edits_graph import Graph
from greennas_jax.spaces.space import Position
from greennas_jax.spaces.values import TooWideError
from greennas_jax.spec import layers as layer_views
from greennas_jax.spec import network as networks
from greennas_jax.spec import shapes as shape_rules
from greennas_jax.spec import variants
from greennas_jax.spec.network import Layer, Network


@dataclasses.dataclass(frozen=True, kw_only=True)
class Limits:
    """What is not offered because a table would grow too large.

    Attributes:
      unskippable: Layers that may not be skipped.
      undroppable: Elementwise layers whose block may not be dropped.
      frozen_widths: Width classes that keep their width.
    """

    unskippable: frozenset[str] = frozenset()
    undroppable: frozenset[str] = frozenset()
    frozen_widths: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True, kw_only=True)
class LayerPlan:
    """The choices of one layer with weights; choice 0 is as given.

    Attributes:
      name: The layer's name.
      operations: Operations it may be realised by.
      kernels: Kernels it may have; (1, 1) of all but convolutions.
      widths: Widths it may have; those of all layers that share its width. Of an attention its
        heads, of a feed-forward layer its hidden units.
      operation: Position of its operation, or -1 where there is no choice.
      kernel: Position of its kernel, or -1.
      width: Position of its width, or -1.
      fits_input: Whether its kernel always covers its whole input.
      follows: Whether it is depthwise as given, and as wide as its input.
      inner: What its width counts where that is inside, "heads" or "hidden", and its output is as
        wide as its input; else empty.
      keeps: Positions that must all be 0 for the layer to be there.
    """

    name: str
    operations: tuple[str, ...]
    kernels: tuple[Kernel, ...]
    widths: tuple[int, ...]
    operation: int = -1
    kernel: int = -1
    width: int = -1
    fits_input: bool = False
    follows: bool = False
    inner: str = ""
    keeps: tuple[int, ...] = ()

    @property
    def mutable(self) -> bool:
        """Whether any token changes the layer itself."""
        return max(self.operation, self.kernel, self.width) >= 0


@dataclasses.dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything about an edits space that does not depend on costs.

    Attributes:
      graph: The given network.
      config: What is offered.
      positions: The positions.
      steps: Positions per layer.
      layers: Plans of the weighted layers, by name, in topological order.
      drops: Position of each droppable block, by the name of its Elementwise.
      shortcuts: The droppable blocks.
      keeps: For every layer of a droppable block the positions that must be 0.
      groups: Every layer's width class.
    """

    graph: Graph
    config: EditsConfig
    positions: tuple[Position, ...]
    steps: tuple[tuple[int, ...], ...]
    layers: Mapping[str, LayerPlan]
    drops: Mapping[str, int]
    shortcuts: Mapping[str, Shortcut]
    keeps: Mapping[str, tuple[int, ...]]
    groups: Mapping[str, str]


def graph_of(network: Network) -> Graph:
    """Return a valid network's graph and shapes.

    Raises:
      SpecError: If the network is not valid.
    """
    networks.check_graph(network)
    order = networks.topological_order(network)
    return Graph(
        network,
        order,
        network.by_name(),
        networks.children_of(network),
        shape_rules.infer(network),
    )


def _choices(
    graph: Graph, config: EditsConfig, classes: edits_graph.WidthClasses, frozen: frozenset[str]
) -> dict[str, LayerPlan]:
    """Return the choices of every weighted layer, without positions and without `skip`."""
    taken = frozenset(graph.layers)
    found = {}
    for layer in graph.order:
        if layer.type in edits_graph.INNER:
            found[layer.name] = _inner_choices(config, layer, layer.name in frozen)
        if layer.type not in edits_graph.WEIGHTED or edits_graph.has_fixed_output(graph, layer):
            continue
        shapes = graph.shapes[layer.name]
        kernels: tuple[Kernel, ...] = ((1, 1),)
        follows = edits_graph.is_follower(graph, layer)
        fits = variants.is_dense_like(layer, shapes.inputs[0])
        if layer.type == "Convolution":
            view = layer_views.convolution(layer)
            kernels = (view.kernel,)
            if layer.name not in frozen and not fits:
                resizable = edits_graph.may_resize(graph, layer.name)
                kernels = edits_choices.kernels(view, shapes.inputs[0], resizable)
        operations: tuple[str, ...] = ("given",)
        if layer.name not in frozen and not follows:
            operations = edits_choices.operations(config, layer, shapes, kernels[0], taken)
        widths = (shapes.output[-1],)
        if classes.of[layer.name] not in classes.frozen and not follows:
            widths = edits_choices.widths(config, widths[0])
        found[layer.name] = LayerPlan(
            name=layer.name,
            operations=operations,
            kernels=kernels,
            widths=widths,
            fits_input=fits,
            follows=follows,
        )
    return found


def _inner_choices(config: EditsConfig, layer: Layer, frozen: bool) -> LayerPlan:
    """Return the choices of an attention or feed-forward layer."""
    offered = edits_choices.inner_widths(config, layer)
    return LayerPlan(
        name=layer.name,
        operations=("given",),
        kernels=((1, 1),),
        widths=offered[:1] if frozen else offered,
        inner="heads" if layer.type == "MultiHeadAttention" else "hidden",
    )


def _may_skip(
    graph: Graph, classes: edits_graph.WidthClasses, layer: Layer, plan: LayerPlan
) -> bool:
    """Return whether a layer's readers could read its parent instead."""
    parent = layer.parents[0]
    if (
        plan.follows
        or plan.inner
        or graph.layers[parent].type == "Input"
        or not graph.children[layer.name]
    ):
        return False
    if not edits_choices.keeps_shape(layer, graph.shapes[layer.name]):
        return False
    own, source = classes.of[layer.name], classes.of[parent]
    if own == source or {own, source} <= classes.frozen:
        return True
    return own not in classes.frozen | classes.tied


def _enclosing(shortcuts: Mapping[str, Shortcut]) -> dict[str, tuple[str, ...]]:
    """Return for each layer in a droppable block the joins whose absence removes it."""
    found: dict[str, tuple[str, ...]] = {}
    for join, shortcut in shortcuts.items():
        for name in shortcut.inside:
            found[name] = (*found.get(name, ()), join)
    return found


def _first_of_each(
    graph: Graph, droppable: Mapping[str, Shortcut], choices: Mapping[str, LayerPlan]
) -> dict[str, str]:
    """Return each droppable block's first layer with choices or, failing that, its first layer."""
    found: dict[str, str] = {}
    order = [layer.name for layer in graph.order]
    for name in (*(name for name in order if name in choices), *order):
        for join, shortcut in droppable.items():
            if name in shortcut.inside:
                found.setdefault(join, name)
    return found


def _add(positions: list[Position], layer: str, kind: str, choices: tuple[str, ...]) -> int:
    """Append a position where there is a choice, and return its number or -1."""
    if len(choices) < 2:
        return -1
    positions.append(Position(f"{layer}.{kind}", layer, kind, choices))
    return len(positions) - 1


def _text(kernel: Kernel) -> str:
    return f"{kernel[0]}x{kernel[1]}"


def make(network: Network, config: EditsConfig, limits: Limits) -> Plan:
    """Return the plan of the edits of a network.

    Args:
      network: The given network.
      config: What is offered.
      limits: What is not offered after all.

    Raises:
      SpecError: If the network is not valid or a name to freeze is not in it.
    """
    graph = graph_of(network)
    frozen = edits_graph.frozen_names(network, config.freeze) | edits_graph.kept_layers(graph)
    classes = edits_graph.width_classes(graph, frozen)
    classes = classes._replace(frozen=classes.frozen | limits.frozen_widths)
    choices = _choices(graph, config, classes, frozen)
    skippable = {
        name
        for name, plan in choices.items()
        if "skip" in config.offered and name not in frozen | limits.unskippable
        if _may_skip(graph, classes, graph.layers[name], plan)
    }
    droppable = {
        join: shortcut
        for join, shortcut in edits_blocks.shortcuts(graph, frozen).items()
        if join not in limits.undroppable
    }
    skippable, droppable = edits_blocks.without_collisions(graph, skippable, droppable)
    for name in skippable:
        offered = {*choices[name].operations, "skip"}
        ordered = tuple(o for o in config.offered if o in offered)
        choices[name] = dataclasses.replace(choices[name], operations=ordered)
    return _numbered(graph, config, classes, choices, droppable)


def _numbered(
    graph: Graph,
    config: EditsConfig,
    classes: edits_graph.WidthClasses,
    choices: Mapping[str, LayerPlan],
    droppable: Mapping[str, Shortcut],
) -> Plan:
    """Return the plan with positions in topological order, a block's in front of its layers."""
    positions: list[Position] = []
    steps: list[tuple[int, ...]] = []
    enclosing = _enclosing(droppable)
    opening = _first_of_each(graph, droppable, choices)
    drops: dict[str, int] = {}
    shared: dict[str, int] = {}
    layers: dict[str, LayerPlan] = {}

    def end_step() -> None:
        first = steps[-1][-1] + 1 if steps else 0
        if len(positions) > first:
            steps.append(tuple(range(first, len(positions))))

    for name in (layer.name for layer in graph.order):
        opened = [join for join in enclosing.get(name, ()) if opening[join] == name]
        for join in opened:
            drops[join] = _add(positions, join, "depth", ("keep", "drop"))
        if len(opened) > 1:
            end_step()
        if name in choices:
            layers[name] = _placed(choices[name], positions, shared, classes.of[name])
            keeps = tuple(drops[join] for join in enclosing.get(name, ()))
            layers[name] = dataclasses.replace(layers[name], keeps=keeps)
        end_step()
    return Plan(
        graph=graph,
        config=config,
        positions=tuple(positions),
        steps=tuple(steps),
        layers=layers,
        drops=drops,
        shortcuts=droppable,
        keeps={name: tuple(drops[join] for join in joins) for name, joins in enclosing.items()},
        groups=classes.of,
    )


def _placed(
    plan: LayerPlan, positions: list[Position], shared: dict[str, int], group: str
) -> LayerPlan:
    """Return a layer's choices with its positions, appended; its width's may be there already."""
    operation = _add(positions, plan.name, "operation", plan.operations)
    kernel = _add(positions, plan.name, "kernel", tuple(map(_text, plan.kernels)))
    width = -1
    widths = tuple(map(str, plan.widths))
    if plan.inner:
        width = _add(positions, plan.name, plan.inner, widths)
    elif not plan.follows:
        if group not in shared:
            shared[group] = _add(positions, plan.name, "width", widths)
        width = shared[group]
    return dataclasses.replace(plan, operation=operation, kernel=kernel, width=width)


def narrower(plan: Plan, limits: Limits, error: TooWideError) -> Limits:
    """Return limits under which a table that is too large shrinks.

    Skips of the layers involved go first, then droppable blocks, then the width with most choices.

    Raises:
      TooWideError: If nothing is left to give up.
    """
    involved = [plan.positions[token] for token in sorted(error.tokens)]
    skips = {p.layer for p in involved if p.kind == "operation" and "skip" in p.choices}
    if skips:
        return dataclasses.replace(limits, unskippable=limits.unskippable | skips)
    blocks = {p.layer for p in involved if p.kind == "depth"}
    if blocks:
        return dataclasses.replace(limits, undroppable=limits.undroppable | blocks)
    shared = [p for p in involved if p.kind == "width"]
    if not shared:
        raise error
    widest = max(shared, key=lambda p: len(p.choices))
    group = plan.groups[widest.layer]
    return dataclasses.replace(limits, frozen_widths=limits.frozen_widths | {group})
