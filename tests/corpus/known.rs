//! Inputs that the crate has got wrong, with the right values (mpmath, 50 digits). `tests/known.rs`
//! checks them; where the generators would make such inputs, they do so once they are mended.

/// Those that it still gets wrong: `tests/known.rs` demands that they fail. Mending one means
/// taking it out of this list, and nothing else.
pub const PENDING: &[&str] = &[];

/// Weights of 1 and one of -0: the total is that of the others.
pub const NEGATIVE_ZERO_WEIGHT: &str = "negative zero weight";
/// The weights' total is beyond the largest number of the type.
pub const HUGE_TOTAL_WEIGHT: &str = "huge total weight";
/// p t is too small for a number, but not 0.
pub const TINY_POS_WEIGHT: &str = "tiny pos_weight";
/// What has no weight need be no target.
pub const NO_TARGET_WITHOUT_WEIGHT: &str = "no target without weight";
/// Whatever the error, outputs are NaN; lengths come before options, options before elements.
pub const ONE_RULE_AFTER_ERRORS: &str = "one rule after errors";
/// 1 - t' is α/2, not 1 less the rounded t'.
pub const TINY_LABEL_SMOOTHING: &str = "tiny label smoothing";
/// A state whose sum is beyond the largest f64.
pub const SUM_BEYOND_F64: &str = "sum beyond f64";

/// Whether the crate still gets it wrong.
pub fn is_pending(name: &str) -> bool {
    PENDING.contains(&name)
}

/// The loss of z = 20 and t = 1 with a label smoothing of the f32 next to 1e-6.
pub const TINY_SMOOTHING_LOSS: f64 = 1.000_206_112_837_274_2e-5;

/// Targets given as logits u: student z, teacher u, excess and gradient, where sigmoid(u) rounds to 1:
/// in f32; then in f64.
pub const TEACHERS: [[f64; 4]; 2] = [
    [
        18.0,
        20.0,
        9.046_518_770_417_2e-9,
        -1.316_882_589_457_014_5e-8,
    ],
    [
        38.0,
        40.0,
        1.864_626_515_460_553e-17,
        -2.714_297_366_518_870_6e-17,
    ],
];

/// Classes with positive weights of their own: rows of logits and of targets, and the weights. The
/// mean, and the sum of each class.
pub struct Classes {
    /// Logits.
    pub z: [f64; 6],
    /// Targets.
    pub t: [f64; 6],
    /// Positive weights.
    pub pos_weights: [f64; 2],
    /// The mean over all.
    pub mean: f64,
    /// The sum over each class.
    pub sums: [f64; 2],
}

/// Three rows of two classes.
pub const CLASSES: Classes = Classes {
    z: [0.5, -1.0, 2.0, 0.25, -0.75, 1.5],
    t: [1.0, 0.0, 0.3, 1.0, 0.0, 0.9],
    pos_weights: [3.0, 10.0],
    mean: 1.911_283_915_379,
    sums: [3.412_186_776_324, 8.055_516_715_950],
};

/// Rounded past the ends of [0, 1]: targets that a tolerance of 1e-6 takes for the end beside them.
pub const ROUNDED_TARGETS: [f64; 3] = [1.0 + 1.0 / (1 << 23) as f64, 1.000_000_1, -1e-9];
