"""The original Paleo's walk of a graph: a nest of series and parallel groups."""

import collections

from greennas_jax.spec.network import SOURCE_TYPE, Network

# A layer's name, or a group of branches.
Item = str | list[list["Item"]]


class _Walk:
    """The state of one walk: edges that are left, and which layers join several."""

    def __init__(self, network: Network):
        self.children = collections.defaultdict(list)
        self.waiting = collections.Counter()
        for layer in network.layers:
            for parent in layer.parents:
                self.children[parent].append(layer.name)
                self.waiting[layer.name] += 1
        self.joints = {name for name, count in self.waiting.items() if count > 1}

    def from_layers(self, front: list[str]) -> tuple[list[Item], list[str]]:
        """Return what is reached before the next joints, and those."""
        history: list[Item] = []
        while front:
            if all(name in self.joints for name in front):
                return history, front
            if len(front) == 1:
                history.append(front[0])
                front = self.children[front[0]]
                for child in front:
                    self.waiting[child] -= 1
                continue
            branches, freed = [], {}
            for name in front:
                branch, joints = self.from_layers([name])
                if branch:
                    branches.append(branch)
                freed |= {joint: None for joint in joints if self.waiting[joint] == 0}
            history.append(branches)
            self.joints -= freed.keys()
            front = list(freed)
        return history, []


def nest(network: Network) -> list[Item]:
    """Return a network's layers as the original orders them; some may be left out.

    Args:
      network: A network without ModelParallel.
    """
    sources = [layer.name for layer in network.layers if layer.type == SOURCE_TYPE]
    # Only a layer of this very name is a source to the original.
    first = ["data"] if "data" in sources else sources[:1]
    return _Walk(network).from_layers(first)[0]
