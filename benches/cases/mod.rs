//! What the benchmarks measure: calls of the corpus on typical inputs, each on every backend.
#![allow(dead_code, reason = "every benchmark uses a part")]

#[path = "../../tests/corpus/mod.rs"]
pub mod corpus;

pub use corpus::{Element, Format, Function, Operation};
use corpus::{Random, numbers};
use soft_bce::{Backend, Bce, LossSum};

pub const BACKENDS: [Backend; 4] = [
    Backend::Scalar,
    Backend::Wide,
    Backend::Avx2,
    Backend::Avx512,
];

/// One of the measured calls.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Task {
    Call(Operation),
    Map(Function),
}

impl Task {
    pub const ALL: [Self; 10] = [
        Self::Call(Operation::Loss),
        Self::Call(Operation::Sum),
        Self::Call(Operation::Gradient),
        Self::Call(Operation::SumGradient),
        Self::Call(Operation::GradientHessian),
        Self::Call(Operation::SumGradientHessian),
        Self::Map(Function::Sigmoid),
        Self::Map(Function::LogSigmoid),
        Self::Map(Function::Softplus),
        Self::Map(Function::Logit),
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Call(operation) => operation.name(),
            Self::Map(function) => function.name(),
        }
    }

    /// Slices that it reads.
    pub const fn reads(self) -> usize {
        match self {
            Self::Call(_) => 2,
            Self::Map(_) => 1,
        }
    }

    /// Slices that it writes.
    pub const fn writes(self) -> usize {
        match self {
            Self::Call(operation) => operation.outputs(),
            Self::Map(_) => 1,
        }
    }

    /// Why this cannot be measured on this backend here.
    pub fn obstacle(self, backend: Backend) -> Option<&'static str> {
        if !backend.is_available() {
            Some("this machine lacks the backend")
        } else if matches!(self, Self::Map(_)) && backend != Backend::detect() {
            Some("a free function: always the detected backend")
        } else {
            None
        }
    }

    /// The same by the textbook formulas, one element after the other, with std's functions.
    pub fn std_loop<T: Std>(self, z: &[T], t: &[T], g: &mut [T], h: &mut [T]) -> f64 {
        let zero = T::from_f64(0.0);
        let pairs = || z.iter().zip(t).enumerate().map(|(i, (&z, &t))| (i, z, t));
        let mut sum = 0.0;
        match self {
            Self::Call(operation) => {
                let gradient = !matches!(operation, Operation::Loss | Operation::Sum);
                let hessian = operation.outputs() == 2;
                for (i, z, t) in pairs() {
                    if operation.has_number() {
                        sum += T::std_loss(z, t).to_f64();
                    }
                    if gradient {
                        let (gradient, second) = T::std_gradient(z, t);
                        g[i] = gradient;
                        if hessian {
                            h[i] = second;
                        }
                    } else if operation.outputs() == 1 {
                        g[i] = T::std_loss(z, t);
                    }
                }
            }
            Self::Map(function) => {
                for (i, z, t) in pairs() {
                    g[i] = match function {
                        Function::Sigmoid => T::std_gradient(z, zero).0,
                        Function::LogSigmoid => T::std_loss(z, T::from_f64(1.0)).negated(),
                        Function::Logit => T::std_logit(t),
                        _ => T::std_loss(z, zero),
                    };
                }
            }
        }
        sum
    }
}

/// std's arithmetic.
pub trait Std: Element {
    fn std_loss(z: Self, t: Self) -> Self;
    fn std_gradient(z: Self, t: Self) -> (Self, Self);
    fn std_logit(p: Self) -> Self;
}

macro_rules! textbook {
    ($($real:ident)*) => {$(
        impl Std for $real {
            #[inline(always)]
            fn std_loss(z: Self, t: Self) -> Self {
                z.max(0.0) - t * z + (-z.abs()).exp().ln_1p()
            }
            #[inline(always)]
            fn std_gradient(z: Self, t: Self) -> (Self, Self) {
                let s = 1.0 / (1.0 + (-z).exp());
                (s - t, s * (1.0 - s))
            }
            #[inline(always)]
            fn std_logit(p: Self) -> Self {
                (p / (1.0 - p)).ln()
            }
        }
    )*};
}
textbook!(f32 f64);

/// A slice that starts at a cache line.
pub struct Aligned<T> {
    storage: Vec<T>,
    start: usize,
    length: usize,
}

impl<T: Element> Aligned<T> {
    pub fn new(length: usize, value: impl FnMut(usize) -> T) -> Self {
        const LINE: usize = 64;
        let padding = LINE / size_of::<T>();
        let mut storage: Vec<T> = Vec::with_capacity(length + padding);
        let start = storage.as_ptr().align_offset(LINE).min(padding);
        storage.resize(start, T::from_f64(0.0));
        storage.extend((0..length).map(value));
        Self {
            storage,
            start,
            length,
        }
    }

    pub fn get(&self) -> &[T] {
        &self.storage[self.start..][..self.length]
    }

    pub fn get_mut(&mut self) -> &mut [T] {
        &mut self.storage[self.start..][..self.length]
    }
}

/// Inputs and room for outputs.
pub struct Buffers<T> {
    pub z: Aligned<T>,
    pub t: Aligned<T>,
    pub g: Aligned<T>,
    pub h: Aligned<T>,
    /// What `accumulate` would add to.
    sum: LossSum,
}

impl<T: Std> Buffers<T> {
    /// Logits of standard deviation 3, near normal; targets uniform in [0, 1).
    pub fn typical(length: usize) -> Self {
        let mut random = Random::new(1);
        let period = length.min(1 << 20);
        let pairs: Vec<(T, T)> = (0..period)
            .map(|_| numbers::typical_pair(&mut random))
            .collect();
        Self::of(length, |i| pairs[i % period])
    }

    pub fn of(length: usize, pair: impl Fn(usize) -> (T, T)) -> Self {
        let zeros = || Aligned::new(length, |_| T::from_f64(0.0));
        Self {
            z: Aligned::new(length, |i| pair(i).0),
            t: Aligned::new(length, |i| pair(i).1),
            g: zeros(),
            h: zeros(),
            sum: LossSum::new(),
        }
    }

    /// The task on `n` elements from `at` on; what it returns keeps the compiler from dropping the work.
    #[inline]
    pub fn call(&mut self, task: Task, bce: &Bce<'_, T>, at: usize, n: usize) -> f64 {
        let (z, t) = (&self.z.get()[at..][..n], &self.t.get()[at..][..n]);
        let (g, h) = (
            &mut self.g.get_mut()[at..][..n],
            &mut self.h.get_mut()[at..][..n],
        );
        match task {
            Task::Call(operation) => T::run(operation, bce, z, t, [g, h, &mut []], &mut self.sum),
            Task::Map(function) => {
                let from = if function.takes_probability() { t } else { z };
                T::map(function, from, g).map_or(Ok(0.0), |done| done.map(|()| 0.0))
            }
        }
        .expect("the inputs are valid")
    }

    /// The same by the loop over std's functions.
    #[inline]
    pub fn std_loop(&mut self, task: Task, n: usize) -> f64 {
        task.std_loop(
            &self.z.get()[..n],
            &self.t.get()[..n],
            &mut self.g.get_mut()[..n],
            &mut self.h.get_mut()[..n],
        )
    }
}
