"""What an embedding holds and moves.

Shapes: L layers. Of the table of tokens the rows that are looked up are read, one for each
position of each sequence; of the others the rows in use, once. Additions are counted as traffic
alone, as everywhere. The gradient of a table is dense: zeros are written, then the rows in use
are read and written with what is added to them.
"""

from greennas_jax.costs import layer_table
from greennas_jax.costs.layer_table import LayerTable
from greennas_jax.costs.passes import Amount, Amounts

Array = layer_table.Array


def _class_tokens(table: LayerTable) -> Array:
    """Return the tokens put in front of each sequence [L]."""
    return table.out_height - table.in_height


def parameters(table: LayerTable) -> Array:
    """Return the entries of the tables, whatever the row is; another layer's not counted [L]."""
    rows = (1 - table.shared) * table.vocabulary + table.positions + table.segments
    return table.out_channels * (rows + _class_tokens(table))


def amounts(table: LayerTable) -> Amounts:
    """Return what every row would move, were it an embedding [L]."""
    xp = table.namespace
    width, output = table.out_channels, table.output_elements
    looked_up = xp.where(table.vocabulary > 0, 1.0, 0.0)
    placed = xp.where(table.positions > 0, 1.0, 0.0)
    divided = xp.where(table.segments > 0, 1.0, 0.0)
    rows = table.batch * table.in_height * table.in_width * width
    entries = table.vocabulary * width
    classes = _class_tokens(table)
    forward = (
        *(table.input_elements, looked_up * rows, output),
        *(placed * table.out_height * width, table.segments * width, classes * width),
    )
    # The output's gradient is read; with it rows of the table's are read and written.
    read = (
        *(looked_up * (table.input_elements + rows), placed * output),
        *(divided * output, classes * width * table.batch),
    )
    # Where another layer has a gradient of the same table, both are read and their sum written.
    dense = looked_up * (entries + 2 * rows + 3 * table.shared * entries)
    others = (table.positions + table.segments + classes) * width
    none = xp.zeros_like(output)
    return Amounts(
        forward=Amount(none, sum(forward[1:], forward[0])),
        data=Amount(none, (1 - looked_up) * (1 - table.reads_input) * 2 * rows),
        filters=Amount(none, sum(read[1:], read[0]), dense + others),
    )
