"""What a module may ask for; every limit is part of what the cluster agrees on (§8)."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PrepareLimits:
    """Caps on a submitted module; below the limits of every engine, so none refuses alone."""

    module_bytes_max: int = 8 << 20
    prepared_bytes_max: int = 32 << 20  # of all prepared functions
    body_bytes_max: int = 2 << 20  # of one submitted function
    prepared_body_bytes_max: int = 7_654_321  # of one prepared function, what engines accept
    memory_pages_max: int = 8_192
    table_elements_max: int = 1 << 18
    tables_max: int = 8
    types_max: int = 16_384
    signature_values_max: int = 255
    imports_max: int = 256
    functions_max: int = 100_000
    globals_max: int = 16_384
    exports_max: int = 16_384
    segments_max: int = 100_000
    name_bytes_max: int = 1_024
    locals_max: int = 10_000
    # Compilers take time with the square of these; 3 s at this many.
    runs_max: int = 40_960
    # And with this product they take 4 s, and much more of it overflows their own stack.
    locals_times_runs_max: int = 16_777_216
    # An interpreter has 65,535 cells for locals and operands, two for a v128.
    operands_max: int = 16_384
    nesting_max: int = 16_384
    branch_targets_max: int = 65_519
    # Validators compare as many types: 0.5 s at this many.
    branch_table_values_max: int = 67_108_864
    call_depth_weight_max: int = 262_144
