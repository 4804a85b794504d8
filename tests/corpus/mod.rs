//! A fixed corpus, and hashes of everything the crate computes on it.
//!
//! Inputs are made by integer arithmetic alone and nothing here needs std, so that any machine,
//! firmware included, can run it and compare with `tests/hashes.txt`.

use soft_bce::{Backend, Bce, Error, LossSum, Real};

/// Elements in a call: no multiple of a vector length, so that tails are met.
const CHUNK: usize = 123;
/// Calls; the first ones pair special logits with special targets.
const CHUNKS: usize = 96;

/// A number as its bits.
pub trait Bits: Real {
    const FORMAT: &'static str;
    /// Bits of the fraction and of the exponent.
    const FRACTION_LENGTH: u32;
    const EXPONENT_LENGTH: u32;
    fn from_corpus_bits(bits: u64) -> Self;
    /// Any NaN is the same: payloads are not promised.
    fn to_corpus_bits(self) -> u64;
    /// `Bce::exact`, where the type has it.
    fn exact(bce: Bce<'_, Self>) -> Option<Bce<'_, Self>>;
}

impl Bits for f32 {
    const FORMAT: &'static str = "f32";
    const FRACTION_LENGTH: u32 = 23;
    const EXPONENT_LENGTH: u32 = 8;
    fn from_corpus_bits(bits: u64) -> Self {
        Self::from_bits(bits as u32)
    }
    fn to_corpus_bits(self) -> u64 {
        u64::from(if self.is_nan() {
            0x7fc0_0000
        } else {
            self.to_bits()
        })
    }
    fn exact(bce: Bce<'_, Self>) -> Option<Bce<'_, Self>> {
        Some(bce.exact())
    }
}

impl Bits for f64 {
    const FORMAT: &'static str = "f64";
    const FRACTION_LENGTH: u32 = 52;
    const EXPONENT_LENGTH: u32 = 11;
    fn from_corpus_bits(bits: u64) -> Self {
        Self::from_bits(bits)
    }
    fn to_corpus_bits(self) -> u64 {
        if self.is_nan() {
            0x7ff8_0000_0000_0000
        } else {
            self.to_bits()
        }
    }
    fn exact(_: Bce<'_, Self>) -> Option<Bce<'_, Self>> {
        None
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ (x >> 31)
    }

    fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(limit)) >> 64) as u64
    }
}

const fn bias<T: Bits>() -> u64 {
    (1 << (T::EXPONENT_LENGTH - 1)) - 1
}

const fn one<T: Bits>() -> u64 {
    bias::<T>() << T::FRACTION_LENGTH
}

/// 2^exponent with these fraction bits, from the top of `fraction`.
fn number<T: Bits>(negative: bool, exponent: i64, fraction: u64) -> u64 {
    let sign = u64::from(negative) << (T::FRACTION_LENGTH + T::EXPONENT_LENGTH);
    let exponent = (bias::<T>() as i64 + exponent) as u64;
    sign | exponent << T::FRACTION_LENGTH | fraction >> (64 - T::FRACTION_LENGTH)
}

/// Magnitudes of special logits; both signs are used.
fn special_logit<T: Bits>(i: usize) -> u64 {
    let infinity = ((1 << T::EXPONENT_LENGTH) - 1) << T::FRACTION_LENGTH;
    match i {
        0 => 0,
        1 => 1,
        2 => 2,
        3 => (1 << T::FRACTION_LENGTH) - 1,
        4 => 1 << T::FRACTION_LENGTH,
        5 => infinity,
        6 => infinity - 1,
        7 => infinity + 1,
        // Powers of two and their neighbours below from 2^-30 to 2^11: both formats' tails end in there.
        _ => {
            (one::<T>() - (30 << T::FRACTION_LENGTH)) + (((i as u64 - 8) / 2) << T::FRACTION_LENGTH)
                - (i as u64 & 1)
        }
    }
}
const SPECIAL_LOGITS: usize = 8 + 2 * 42;

fn special_target<T: Bits>(i: usize) -> u64 {
    match i {
        0 => 0,
        1 => one::<T>(),
        2 => one::<T>() - 1,
        3 => one::<T>() - (1 << T::FRACTION_LENGTH),
        4 => one::<T>() - (2 << T::FRACTION_LENGTH),
        5 => 1,
        6 => 1 << T::FRACTION_LENGTH,
        _ => number::<T>(false, -1, 0x9999_9999_9999_9999),
    }
}
const SPECIAL_TARGETS: usize = 8;

fn random_logit<T: Bits>(random: &mut Random) -> u64 {
    let (kind, fraction) = (random.below(16), random.next());
    let negative = random.below(2) == 1;
    match kind {
        // Any bits, NaN and the infinities included.
        0 => random.next() >> (63 - T::FRACTION_LENGTH - T::EXPONENT_LENGTH),
        // The tails, where results are subnormal: 64 to 128, 512 to 1024.
        1..=3 => number::<T>(
            negative,
            if T::EXPONENT_LENGTH == 8 { 6 } else { 9 },
            fraction,
        ),
        _ => number::<T>(negative, random.below(14) as i64 - 9, fraction),
    }
}

fn random_target<T: Bits>(random: &mut Random) -> u64 {
    let kind = random.below(8);
    match kind {
        0 => special_target::<T>(random.below(SPECIAL_TARGETS as u64) as usize),
        1 => one::<T>() - random.below(4),
        2 => random.below(one::<T>() + 1),
        _ => number::<T>(false, -1 - random.below(6) as i64, random.next()),
    }
}

/// Logits, targets, weights and probabilities of one call.
struct Chunk<T> {
    z: [T; CHUNK],
    t: [T; CHUNK],
    weights: [T; CHUNK],
}

fn chunk<T: Bits>(index: usize) -> Chunk<T> {
    let mut random = Random(0x736f_6674_2d62_6365 + index as u64);
    let mut chunk = Chunk {
        z: [T::from_corpus_bits(0); CHUNK],
        t: [T::from_corpus_bits(0); CHUNK],
        weights: [T::from_corpus_bits(0); CHUNK],
    };
    for i in 0..CHUNK {
        let position = index * CHUNK + i;
        let special = position / SPECIAL_TARGETS;
        let (z, t) = if special < 2 * SPECIAL_LOGITS {
            let sign = (special as u64 & 1) << (T::FRACTION_LENGTH + T::EXPONENT_LENGTH);
            (
                special_logit::<T>(special / 2) | sign,
                special_target::<T>(position % SPECIAL_TARGETS),
            )
        } else {
            (
                random_logit::<T>(&mut random),
                random_target::<T>(&mut random),
            )
        };
        let weight = match random.below(8) {
            0 => 0,
            exponent => number::<T>(false, exponent as i64 - 5, random.next()),
        };
        chunk.z[i] = T::from_corpus_bits(z);
        chunk.t[i] = T::from_corpus_bits(t);
        chunk.weights[i] = T::from_corpus_bits(weight);
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

    fn values<T: Bits>(&mut self, values: &[T]) {
        for value in values {
            self.bytes(&value.to_corpus_bits().to_le_bytes());
        }
    }
}

/// What is hashed: a result of each operation, and of the functions of a logit alone.
const OPERATIONS: [&str; 9] = [
    "loss",
    "gradient",
    "gradient_in_place",
    "gradient_hessian",
    "sum",
    "mean_gradient",
    "sum_gradient_hessian",
    "loss_sum",
    "scalar",
];
const SLICES: [&str; 4] = ["sigmoid", "log_sigmoid", "softplus", "logit"];
const MODES: [&str; 7] = [
    "default",
    "weights",
    "pos_weight",
    "label_smoothing",
    "all_options",
    "exact",
    "excess",
];

fn hash_operation<T: Bits>(
    bce: Bce<T>,
    operation: &str,
    chunk: &Chunk<T>,
    hash: &mut Hash,
) -> Result<(), Error> {
    let Chunk { z, t, .. } = chunk;
    let (mut a, mut b) = (
        [T::from_corpus_bits(0); CHUNK],
        [T::from_corpus_bits(0); CHUNK],
    );
    match operation {
        "loss" => bce.loss(z, t, &mut a)?,
        "gradient" => bce.gradient(z, t, &mut a)?,
        "gradient_in_place" => {
            a = *z;
            bce.gradient_in_place(&mut a, t)?;
        }
        "gradient_hessian" => bce.gradient_hessian(z, t, &mut a, &mut b)?,
        "sum" => hash.values(&[bce.sum(z, t)?]),
        "mean_gradient" => hash.values(&[bce.mean_gradient(z, t, &mut a)?]),
        "sum_gradient_hessian" => hash.values(&[bce.sum_gradient_hessian(z, t, &mut a, &mut b)?]),
        "loss_sum" => {
            let mut sum = LossSum::new();
            bce.accumulate(z, t, &mut sum)?;
            hash.bytes(&sum.to_bytes());
        }
        _ => {
            for ((z, t), a) in z.iter().zip(t).zip(&mut a) {
                *a = soft_bce::scalar::loss(*z, *t)?;
            }
        }
    }
    hash.values(&a);
    hash.values(&b);
    Ok(())
}

fn hash_slice<T: Bits>(function: &str, chunk: &Chunk<T>, hash: &mut Hash) -> Result<(), Error> {
    let mut out = [T::from_corpus_bits(0); CHUNK];
    match function {
        "sigmoid" => soft_bce::sigmoid(&chunk.z, &mut out)?,
        "log_sigmoid" => soft_bce::log_sigmoid(&chunk.z, &mut out)?,
        "softplus" => soft_bce::softplus(&chunk.z, &mut out)?,
        _ => soft_bce::logit(&chunk.t, &mut out)?,
    }
    hash.values(&out);
    Ok(())
}

/// One operation on a chunk, hashed.
type Run<'a, T> = &'a dyn Fn(&Chunk<T>, &mut Hash) -> Result<(), Error>;

/// Hashes every operation in every mode on one backend: type, operation, mode, hash.
pub fn hash_all<T: Bits>(
    backend: Backend,
    mut report: impl FnMut(&str, &str, &str, u64),
) -> Result<(), Error> {
    let hash_chunks = |run: Run<'_, T>| {
        let mut hash = Hash(0xcbf2_9ce4_8422_2325);
        for index in 0..CHUNKS {
            run(&chunk(index), &mut hash)?;
        }
        Ok(hash.0)
    };
    let three = T::from_corpus_bits(number::<T>(false, 1, 1 << 63));
    let eighth = T::from_corpus_bits(number::<T>(false, -3, 0));
    for mode in MODES {
        for operation in OPERATIONS {
            if operation == "scalar" && mode != "default"
                || mode == "exact" && T::exact(Bce::new()).is_none()
            {
                continue;
            }
            let hash = hash_chunks(&|chunk, hash| {
                let bce = Bce::new().backend(backend)?;
                let bce = match mode {
                    "weights" => bce.weights(&chunk.weights),
                    "pos_weight" => bce.pos_weight(three),
                    "label_smoothing" => bce.label_smoothing(eighth),
                    "all_options" => bce
                        .weights(&chunk.weights)
                        .pos_weight(three)
                        .label_smoothing(eighth),
                    "exact" => T::exact(bce).unwrap_or(bce),
                    "excess" => bce.excess(),
                    _ => bce,
                };
                hash_operation(bce, operation, chunk, hash)
            })?;
            report(T::FORMAT, operation, mode, hash);
        }
    }
    for function in SLICES {
        let hash = hash_chunks(&|chunk, hash| hash_slice(function, chunk, hash))?;
        report(T::FORMAT, function, "default", hash);
    }
    Ok(())
}
