//! Hashes of everything the crate computes on fixed inputs, to compare with `tests/hashes.txt`.
//!
//! These inputs are made by integer arithmetic alone, and never change: a kernel that is meant to give
//! other results is the only reason for other hashes.

use super::{Element, Format, Function, Mode, Operation, Random};
use soft_bce::linear::{
    ColumnScale, ColumnSum, Factor, Features, Head, gradient_scratch, gram_length, gram_scratch,
    scan,
};
use soft_bce::{Backend, Bce, Error, LossSum};

/// Elements in a call: no multiple of a vector length, so that tails are met.
const CHUNK: usize = 123;
/// Calls; the first ones pair special logits with special targets.
const CHUNKS: usize = 96;

/// Magnitudes of special logits; both signs are used.
fn special_logit<T: Format>(i: usize) -> T {
    let infinity = T::power_of_two(T::MAX_EXPONENT).to_bits() + (1 << (T::PRECISION - 1));
    T::from_bits(match i {
        0..3 => i as u64,
        3 => (1 << (T::PRECISION - 1)) - 1,
        4 => 1 << (T::PRECISION - 1),
        5 => infinity,
        6 => infinity - 1,
        7 => infinity + 1,
        // Powers of two and their neighbours below from 2^-30 to 2^11: both formats' tails end in there.
        _ => T::power_of_two((i as i32 - 8) / 2 - 30).to_bits() - (i as u64 & 1),
    })
}
const SPECIAL_LOGITS: usize = 8 + 2 * 42;

fn special_target<T: Format>(i: usize) -> T {
    match i {
        0 => T::from_bits(0),
        1 => T::power_of_two(0),
        2 => T::from_bits(T::power_of_two(0).to_bits() - 1),
        3 => T::power_of_two(-1),
        4 => T::power_of_two(-2),
        5 => T::from_bits(1),
        6 => T::power_of_two(T::MIN_EXPONENT),
        _ => T::from_parts(false, -1, 0x9999_9999_9999_9999),
    }
}
const SPECIAL_TARGETS: usize = 8;

fn random_logit<T: Format>(random: &mut Random) -> T {
    let (kind, fraction) = (random.below(16), random.bits());
    let negative = random.below(2) == 1;
    match kind {
        // Any bits, NaN and the infinities included.
        0 => T::from_bits(random.bits() >> (64 - 8 * size_of::<T>())),
        // The tails, where results are subnormal: 64 to 128, 512 to 1024.
        1..=3 => T::from_parts(negative, if size_of::<T>() == 4 { 6 } else { 9 }, fraction),
        _ => T::from_parts(negative, random.below(14) as i32 - 9, fraction),
    }
}

fn random_target<T: Format>(random: &mut Random) -> T {
    let one = T::power_of_two(0).to_bits();
    match random.below(8) {
        0 => special_target(random.below(SPECIAL_TARGETS as u64) as usize),
        1 => T::from_bits(one - random.below(4)),
        2 => T::from_bits(random.below(one + 1)),
        _ => T::from_parts(false, -1 - random.below(6) as i32, random.bits()),
    }
}

/// Logits, targets and weights of one call.
struct Chunk<T> {
    z: [T; CHUNK],
    t: [T; CHUNK],
    weights: [T; CHUNK],
}

fn chunk<T: Format>(index: usize) -> Chunk<T> {
    let mut random = Random::new(0x736f_6674_2d62_6365 + index as u64);
    let mut chunk = Chunk {
        z: [T::from_bits(0); CHUNK],
        t: [T::from_bits(0); CHUNK],
        weights: [T::from_bits(0); CHUNK],
    };
    for i in 0..CHUNK {
        let position = index * CHUNK + i;
        let special = position / SPECIAL_TARGETS;
        (chunk.z[i], chunk.t[i]) = if special < 2 * SPECIAL_LOGITS {
            let z: T = special_logit(special / 2);
            (
                if special % 2 == 1 { z.negated() } else { z },
                special_target(position % SPECIAL_TARGETS),
            )
        } else {
            (random_logit(&mut random), random_target(&mut random))
        };
        chunk.weights[i] = match random.below(8) {
            0 => T::from_bits(0),
            exponent => T::from_parts(false, exponent as i32 - 5, random.bits()),
        };
    }
    chunk
}

/// FNV-1a, 64 bits, over little-endian bytes.
struct Hash(u64);

impl Hash {
    fn bytes(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn values<T: Format>(&mut self, values: &[T]) {
        for value in values {
            self.bytes(&value.comparable().to_le_bytes());
        }
    }
}

/// The operations, by their names in the file; `scalar` is `soft_bce::scalar::loss`.
const OPERATIONS: [(&str, Option<Operation>); 10] = [
    ("loss", Some(Operation::Loss)),
    ("gradient", Some(Operation::Gradient)),
    ("gradient_in_place", Some(Operation::GradientInPlace)),
    ("gradient_hessian", Some(Operation::GradientHessian)),
    ("sum", Some(Operation::Sum)),
    ("mean_gradient", Some(Operation::MeanGradient)),
    ("sum_gradient_hessian", Some(Operation::SumGradientHessian)),
    (
        "loss_gradient_hessian",
        Some(Operation::LossGradientHessian),
    ),
    ("loss_sum", Some(Operation::Accumulate)),
    ("scalar", None),
];
const FUNCTIONS: [Function; 4] = [
    Function::Sigmoid,
    Function::LogSigmoid,
    Function::Softplus,
    Function::Logit,
];
const MODES: [Mode; 12] = [
    Mode::Default,
    Mode::Weights,
    Mode::PosWeight,
    Mode::LabelSmoothing,
    Mode::AllOptions,
    Mode::Exact,
    Mode::Excess,
    Mode::Shaped,
    Mode::Temperature,
    Mode::LogitTargets,
    Mode::SquaredError,
    Mode::Focal,
];

fn hash_operation<T: Element>(
    bce: &Bce<'_, T>,
    operation: Option<Operation>,
    Chunk { z, t, .. }: &Chunk<T>,
    hash: &mut Hash,
) -> Result<(), Error> {
    let [mut a, mut b, mut c] = [[T::from_bits(0); CHUNK]; 3];
    if let Some(operation) = operation {
        if operation == Operation::GradientInPlace {
            a = *z;
        }
        let mut sum = LossSum::new();
        let number = T::run(operation, bce, z, t, [&mut a, &mut b, &mut c], &mut sum)?;
        if operation.has_number() {
            hash.values(&[number]);
        }
        if operation == Operation::Accumulate {
            hash.bytes(&sum.to_bytes());
        }
    } else {
        for ((z, t), a) in z.iter().zip(t).zip(&mut a) {
            *a = soft_bce::scalar::loss(*z, *t)?;
        }
    }
    hash.values(&a);
    hash.values(&b);
    if operation.is_some_and(|operation| operation.outputs() > 2) {
        hash.values(&c);
    }
    Ok(())
}

fn hash_function<T: Element>(
    function: Function,
    chunk: &Chunk<T>,
    hash: &mut Hash,
) -> Result<(), Error> {
    let mut out = [T::from_bits(0); CHUNK];
    let from = if function.takes_probability() {
        &chunk.t
    } else {
        &chunk.z
    };
    T::map(function, from, &mut out).transpose()?;
    hash.values(&out);
    Ok(())
}

/// Features, offsets and coefficients; finite.
fn finite<T: Format>(random: &mut Random) -> T {
    match random.below(16) {
        0 => T::from_bits(0),
        1 => T::from_parts(random.below(2) == 1, T::MIN_EXPONENT, random.bits()),
        _ => T::from_parts(
            random.below(2) == 1,
            random.below(8) as i32 - 6,
            random.bits(),
        ),
    }
}

/// Columns of the linear head's features: as many rows as a chunk has room for.
const COLUMNS: [usize; 3] = [1, 5, 19];
const MOST_COLUMNS: usize = 19;
/// Of the Gram matrix, with an intercept.
const GRAM: usize = 6;

/// What is hashed of the linear head.
const LINEAR: [&str; 4] = [
    "linear_predict",
    "linear_gradient",
    "linear_hessian_vector",
    "linear_gram",
];

fn hash_sums(sums: &[ColumnSum], hash: &mut Hash) {
    for sum in sums {
        hash.bytes(&sum.to_bytes());
    }
}

/// One of `LINEAR` on features made of the chunk's number: row-major, or of five columns.
fn hash_linear<T: Element>(
    what: &str,
    (mode, backend): (Mode, Backend),
    index: usize,
    chunk: &Chunk<T>,
    hash: &mut Hash,
) -> Result<(), Error> {
    let mut random = Random::new(0x6c69_6e65_6172 + index as u64);
    let mut data = [T::from_bits(0); CHUNK];
    data.fill_with(|| finite(&mut random));
    let mut coefficients = [T::from_bits(0); MOST_COLUMNS + 1];
    coefficients.fill_with(|| finite(&mut random));
    for columns in COLUMNS {
        let rows = CHUNK / columns;
        let slices: [&[T]; 5] =
            core::array::from_fn(|j| data.get(j * rows..(j + 1) * rows).unwrap_or(&[]));
        let x = if columns == slices.len() && index % 2 == 1 {
            Features::columns(&slices, rows)?
        } else {
            Features::rows(&data[..rows * columns], rows, columns)?
        };
        let mut scales = [ColumnScale::ZERO; MOST_COLUMNS];
        let scales = &mut scales[..columns];
        scan(&x, scales)?;
        let (t, offset) = (&chunk.t[..rows], &data[CHUNK - rows..]);
        let head = Head::new(&coefficients[..columns]).intercept(coefficients[MOST_COLUMNS]);
        let head = head.offset(offset);
        let bce = Bce::new().backend(backend)?;
        let head = head.bce(mode.configure(bce, &chunk.weights[..rows]).unwrap_or(bce));
        match what {
            "linear_predict" => hash_predictions(&head, &x, hash)?,
            "linear_gradient" | "linear_hessian_vector" => {
                let direction =
                    (what != "linear_gradient").then_some(&coefficients[MOST_COLUMNS - columns..]);
                hash_column_sums(&head, (&x, scales), t, direction, hash)?;
            }
            _ if columns < GRAM => hash_gram(&head, (&x, scales), t, hash)?,
            _ => {}
        }
    }
    Ok(())
}

// Out of line, so that their arrays are not on the stack at the same time: 16 KiB of RAM are all there is.

#[inline(never)]
fn hash_predictions<T: Element>(
    head: &Head<'_, T>,
    x: &Features<'_, T>,
    hash: &mut Hash,
) -> Result<(), Error> {
    let mut out = [T::from_bits(0); CHUNK];
    let rows = x.row_count();
    head.logits(x, &mut out[..rows])?;
    hash.values(&out);
    head.predict(x, &mut out[..rows])?;
    hash.values(&out);
    Ok(())
}

#[inline(never)]
fn hash_column_sums<T: Element>(
    head: &Head<'_, T>,
    (x, scales): (&Features<'_, T>, &[ColumnScale]),
    t: &[T],
    direction: Option<&[T]>,
    hash: &mut Hash,
) -> Result<(), Error> {
    let mut sums = [ColumnSum::default(); MOST_COLUMNS + 1];
    let sums = &mut sums[..=scales.len()];
    let mut scratch = [0.0; gradient_scratch(MOST_COLUMNS + 1)];
    if let Some(direction) = direction {
        let scale = head.hessian_vector_scale(scales, direction)?;
        head.start_gradient(scales, scale, sums)?;
        head.hessian_vector(x, t, direction, sums, &mut scratch)?;
    } else {
        head.start_gradient(scales, head.residual_scale()?, sums)?;
        let mut loss = LossSum::new();
        head.sum_gradient(x, t, &mut loss, sums, &mut scratch)?;
        hash.bytes(&loss.to_bytes());
    }
    hash_sums(sums, hash);
    Ok(())
}

#[inline(never)]
fn hash_gram<T: Element>(
    head: &Head<'_, T>,
    (x, scales): (&Features<'_, T>, &[ColumnScale]),
    t: &[T],
    hash: &mut Hash,
) -> Result<(), Error> {
    let mut sums = [ColumnSum::default(); gram_length(GRAM)];
    let sums = &mut sums[..gram_length(scales.len() + 1)];
    let mut scratch = [0.0; gram_scratch(GRAM)];
    for factor in [Factor::Hessian, Factor::SquaredResidual] {
        head.start_gram(scales, head.factor_scale(factor)?, sums)?;
        head.gram(x, t, factor, sums, &mut scratch)?;
        hash_sums(sums, hash);
    }
    Ok(())
}

/// One operation on a chunk, hashed.
type Run<'a, T> = &'a dyn Fn(usize, &Chunk<T>, &mut Hash) -> Result<(), Error>;

/// Hashes every operation in every mode on one backend: type, operation, mode, hash.
pub fn hash_all<T: Element>(
    backend: Backend,
    mut report: impl FnMut(&str, &str, &str, u64),
) -> Result<(), Error> {
    let hash_chunks = |run: Run<'_, T>| {
        let mut hash = Hash(0xcbf2_9ce4_8422_2325);
        for index in 0..CHUNKS {
            run(index, &chunk(index), &mut hash)?;
        }
        Ok(hash.0)
    };
    for mode in MODES {
        if mode.configure::<T>(Bce::new(), &[]).is_none() {
            continue;
        }
        for (name, operation) in OPERATIONS {
            if operation.map_or(mode != Mode::Default, |operation| !mode.has(operation)) {
                continue;
            }
            let hash = hash_chunks(&|_, chunk, hash| {
                let bce = mode.configure(Bce::new(), &chunk.weights);
                let bce = bce.unwrap_or_default().backend(backend)?;
                hash_operation(&bce, operation, chunk, hash)
            })?;
            report(T::NAME, name, mode.name(), hash);
        }
    }
    for function in FUNCTIONS {
        let hash = hash_chunks(&|_, chunk, hash| hash_function(function, chunk, hash))?;
        report(T::NAME, function.name(), Mode::Default.name(), hash);
    }
    let modes = [
        Mode::Default,
        Mode::AllOptions,
        Mode::Temperature,
        Mode::LogitTargets,
    ];
    for mode in modes {
        for what in LINEAR {
            let hash = hash_chunks(&|index, chunk, hash| {
                hash_linear(what, (mode, backend), index, chunk, hash)
            })?;
            report(T::NAME, what, mode.name(), hash);
        }
    }
    Ok(())
}
