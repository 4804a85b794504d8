//! What the benchmarks measure: operations, element types, backends and inputs.
#![allow(dead_code, reason = "every benchmark uses a part")]

use soft_bce::{Backend, Bce, Real};

pub const BACKENDS: [Backend; 4] = [
    Backend::Scalar,
    Backend::Wide,
    Backend::Avx2,
    Backend::Avx512,
];

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Operation {
    Loss,
    Sum,
    Gradient,
    SumGradient,
    GradientHessian,
    SumGradientHessian,
    Sigmoid,
}

impl Operation {
    pub const ALL: [Self; 7] = [
        Self::Loss,
        Self::Sum,
        Self::Gradient,
        Self::SumGradient,
        Self::GradientHessian,
        Self::SumGradientHessian,
        Self::Sigmoid,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Sum => "sum",
            Self::Gradient => "gradient",
            Self::SumGradient => "sum_gradient",
            Self::GradientHessian => "gradient_hessian",
            Self::SumGradientHessian => "sum_gradient_hessian",
            Self::Sigmoid => "sigmoid",
        }
    }

    pub const fn reads(self) -> usize {
        match self {
            Self::Sigmoid => 1,
            _ => 2,
        }
    }

    pub const fn writes(self) -> usize {
        match self {
            Self::Sum => 0,
            Self::GradientHessian | Self::SumGradientHessian => 2,
            _ => 1,
        }
    }

    /// Why this operation cannot be measured on this backend here.
    pub fn obstacle(self, backend: Backend) -> Option<&'static str> {
        if !backend.is_available() {
            Some("this machine lacks the backend")
        } else if self == Self::Sigmoid && backend != Backend::detect() {
            Some("a free function: always the detected backend")
        } else {
            None
        }
    }

    /// One call; what it returns keeps the compiler from dropping the work.
    #[inline]
    pub fn call<T: Element>(
        self,
        bce: &Bce<'_, T>,
        z: &[T],
        t: &[T],
        gradient: &mut [T],
        hessian: &mut [T],
    ) -> f64 {
        let done = |()| 0.0;
        match self {
            Self::Loss => bce.loss(z, t, gradient).map(done),
            Self::Sum => bce.sum(z, t),
            Self::Gradient => bce.gradient(z, t, gradient).map(done),
            Self::SumGradient => bce.sum_gradient(z, t, gradient),
            Self::GradientHessian => bce.gradient_hessian(z, t, gradient, hessian).map(done),
            Self::SumGradientHessian => bce.sum_gradient_hessian(z, t, gradient, hessian),
            Self::Sigmoid => soft_bce::sigmoid(z, gradient).map(done),
        }
        .expect("the inputs are valid")
    }

    /// The same by the textbook formulas, one element after the other, with std's functions.
    pub fn std_loop<T: Element>(self, z: &[T], t: &[T], g: &mut [T], h: &mut [T]) -> f64 {
        let mut sum = 0.0;
        for (i, (&z, &t)) in z.iter().zip(t).enumerate() {
            match self {
                Self::Loss => g[i] = T::std_loss(z, t),
                Self::Sum => sum += T::std_loss(z, t).to_f64(),
                Self::Gradient => g[i] = T::std_gradient(z, t).0,
                Self::SumGradient => {
                    sum += T::std_loss(z, t).to_f64();
                    g[i] = T::std_gradient(z, t).0;
                }
                Self::GradientHessian => (g[i], h[i]) = T::std_gradient(z, t),
                Self::SumGradientHessian => {
                    sum += T::std_loss(z, t).to_f64();
                    (g[i], h[i]) = T::std_gradient(z, t);
                }
                Self::Sigmoid => g[i] = T::std_gradient(z, T::of(0.0)).0,
            }
        }
        sum
    }
}

pub trait Element: Real + 'static {
    const NAME: &'static str;
    fn of(value: f64) -> Self;
    fn to_f64(self) -> f64;
    /// The correctly rounded mode, where there is one.
    fn exact(bce: Bce<'static, Self>) -> Option<Bce<'static, Self>>;
    fn std_loss(z: Self, t: Self) -> Self;
    fn std_gradient(z: Self, t: Self) -> (Self, Self);
}

macro_rules! element {
    ($real:ident, $exact:expr) => {
        impl Element for $real {
            const NAME: &'static str = stringify!($real);
            fn of(value: f64) -> Self {
                value as $real
            }
            fn to_f64(self) -> f64 {
                f64::from(self)
            }
            fn exact(bce: Bce<'static, Self>) -> Option<Bce<'static, Self>> {
                $exact(bce)
            }
            #[inline(always)]
            fn std_loss(z: Self, t: Self) -> Self {
                z.max(0.0) - t * z + (-z.abs()).exp().ln_1p()
            }
            #[inline(always)]
            fn std_gradient(z: Self, t: Self) -> (Self, Self) {
                let s = 1.0 / (1.0 + (-z).exp());
                (s - t, s * (1.0 - s))
            }
        }
    };
}
element!(f32, |bce: Bce<'static, f32>| Some(bce.exact()));
element!(f64, |_| None);

/// A slice that starts at a cache line.
pub struct Aligned<T> {
    storage: Vec<T>,
    start: usize,
    length: usize,
}

impl<T: Element> Aligned<T> {
    pub fn new(length: usize, mut value: impl FnMut(usize) -> f64) -> Self {
        const LINE: usize = 64;
        let padding = LINE / size_of::<T>();
        let mut storage: Vec<T> = Vec::with_capacity(length + padding);
        let start = storage.as_ptr().align_offset(LINE).min(padding);
        storage.resize(start, T::of(0.0));
        storage.extend((0..length).map(|i| T::of(value(i))));
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
}

impl<T: Element> Buffers<T> {
    /// Logits of standard deviation 3, near normal; targets uniform in [0, 1).
    pub fn typical(length: usize) -> Self {
        let mut uniform = uniform(1);
        let period = length.min(1 << 20);
        let z: Vec<f64> = (0..period)
            .map(|_| (0..4).map(|_| uniform()).sum::<f64>() * 27_f64.sqrt() - 2.0 * 27_f64.sqrt())
            .collect();
        let t: Vec<f64> = (0..period).map(|_| uniform()).collect();
        Self::of(length, |i| z[i % period], |i| t[i % period])
    }

    pub fn of(length: usize, z: impl FnMut(usize) -> f64, t: impl FnMut(usize) -> f64) -> Self {
        Self {
            z: Aligned::new(length, z),
            t: Aligned::new(length, t),
            g: Aligned::new(length, |_| 0.0),
            h: Aligned::new(length, |_| 0.0),
        }
    }

    /// The operation on the first `n` elements.
    #[inline]
    pub fn call(&mut self, operation: Operation, bce: &Bce<'_, T>, n: usize) -> f64 {
        operation.call(
            bce,
            &self.z.get()[..n],
            &self.t.get()[..n],
            &mut self.g.get_mut()[..n],
            &mut self.h.get_mut()[..n],
        )
    }

    /// The same by the loop over std's functions.
    #[inline]
    pub fn std_loop(&mut self, operation: Operation, n: usize) -> f64 {
        operation.std_loop(
            &self.z.get()[..n],
            &self.t.get()[..n],
            &mut self.g.get_mut()[..n],
            &mut self.h.get_mut()[..n],
        )
    }
}

/// Uniform in [0, 1): Marsaglia's xorshift64, "Xorshift RNGs" (2003).
pub fn uniform(seed: u64) -> impl FnMut() -> f64 {
    let mut state = seed ^ 0x9e37_79b9_7f4a_7c15;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / (1_u64 << 53) as f64
    }
}
