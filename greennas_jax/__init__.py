"""From a network's text to a greener network's text, with the evidence.

The house, and the one direction its arrows run:

    spec <- costs <- spaces <- nao <- search <- pipeline <- experiments
    accuracy, build, importers, export, measure and report hang on spec and costs, never on nao

Where to look for what:

    spec         a network as text and as frozen records
      paleo_json     read, write, load            shapes         what each layer reads and writes
      layer_types    register a layer type        structure      exact labels of the live graph
      parallel       ModelParallel written out    limits         the most that is read of anything
    costs        time, power, energy, memory, carbon; numpy and JAX alike
      profile        one network on one device    devices, links what hardware states, from text
      terms          register a cost term         layer_table    network -> arrays, one row a layer
      paleo, power   the two physical models      neuralpower    layer models fitted to measurements
      scaling        training on many devices     training_run, deployment   footprints
    spaces       token strings <-> networks, and their costs as small tables
      edits          around any given network     factors        exact and relaxed costs, gradients
      exact          cheapest networks, fronts    catalogue      register a space
      listed         a space written down         nasbench201, nao_cell   published spaces
    nao          encoder, predictor and decoder of token strings; ascent in their embedding
    search       whom to train next: latent, additive, evolution, random; hard limits
    mesh         all devices of all processes as one axis; how processes agree, and stop together
    accuracy     real training of many children in one program, training-free scores, data sets
    build        network -> executable Flax module
    importers    Caffe's prototxt and ONNX -> network
    export       network -> Flax source, ONNX, safetensors
    measure      this machine's time and energy, and device files fitted to them
    report       tables and pictures
    pipeline     the nine steps from text to text as a few calls
    journey      the same with a workdir that a killed run goes on from
    plugins      Python files of one's own that register what is not here
    tutorials    a new cost term, device, layer type and search space, each one file (Markdown)

A first call:

    >>> from greennas_jax.costs import devices, profile, settings
    >>> from greennas_jax.spec import paleo_json
    >>> text = '''{"name": "tiny", "layers": {
    ...     "data": {"type": "Input", "parents": [], "tensor": [2, 4, 4, 3]},
    ...     "fc": {"type": "InnerProduct", "parents": ["data"], "num_outputs": 5}}}'''
    >>> network = paleo_json.read(text)
    >>> found = profile.profile(network, devices.load("titan_x"), settings.CostSettings())
    >>> found["totals"]["parameters"]  # 4 x 4 x 3 x 5 weights and 5 biases
    245
"""
