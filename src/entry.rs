//! What is compiled with this crate, once: a function for each kind of call on each
//! element type.
//!
//! `Bce<T>` is generic, so its methods are compiled by the crates that call them.
//! Without this layer so were the vector code: in each of them anew, and at its
//! optimisation level.

use crate::dispatch::Backend;
use crate::error::Error;
use crate::kernel::exact::Exact;
use crate::kernel::excess::Excess;
use crate::kernel::general::General;
use crate::kernel::{Logit, Plain, Pointwise, SmoothedWeighted, Wanted};
use crate::lane::{Float, Job};
#[cfg(feature = "linear")]
use crate::linear::walk::Pass;
use crate::shape::{self, Shape};
use crate::span_sum::{AddValues, SpanSum};
use crate::walk::{Check, Inputs, MAIN_LOOP, MainLoop, Remainder, Short, Single, Slices, Vectors};

mod sealed {
    pub trait Sealed {}
    impl Sealed for f32 {}
    impl Sealed for f64 {}
}

/// An element type: `f32` or `f64`. Sealed.
pub trait Real: sealed::Sealed + Float + Entries {}

impl Real for f32 {}
impl Real for f64 {}

/// A call whose lengths agree and whose options are valid. After an error its outputs are
/// half done, and the caller's to overwrite.
pub struct Call<'a, T> {
    pub(crate) backend: Backend,
    /// What the options make of the formulas, if anything.
    pub(crate) options: Option<SmoothedWeighted<T>>,
    /// For `Entries::general`.
    pub(crate) general: General,
    pub(crate) slices: Slices<'a, T>,
}

impl<T: Float> Call<'_, T> {
    fn apply<P: Pointwise<T>>(&mut self, function: P) -> Result<(), Error> {
        if self.slices.wanted.losses() {
            self.apply_for::<P, true>(function)
        } else {
            self.apply_for::<P, false>(function)
        }
    }

    /// The results are the same with and without `LOSSES`; slower with it where none are wanted, and without
    /// it where some are.
    fn apply_for<P: Pointwise<T>, const LOSSES: bool>(&mut self, function: P) -> Result<(), Error> {
        let slices = &mut self.slices;
        let end = slices.inputs.z.len();
        let in_spans = P::MAIN_LOOP && end >= MAIN_LOOP && (LOSSES || !slices.wanted.losses());
        if !LOSSES && slices.wanted == Wanted::NOTHING {
            // Sums do not link it.
            self.backend.run_call(Check(slices))
        } else if in_spans {
            let main_loop = MainLoop::<_, _, LOSSES> { function, slices };
            run::<T, P, _>(self.backend, main_loop)
        } else {
            remainder(self.backend, function, slices)
        }
    }
}

/// What both forms of `apply_for` end in.
#[inline(never)]
fn remainder<T: Float, P: Pointwise<T>>(
    backend: Backend,
    function: P,
    slices: &mut Slices<'_, T>,
) -> Result<(), Error> {
    let end = slices.inputs.z.len();
    let remainder = Remainder {
        function,
        slices,
        start: 0,
        end,
    };
    run::<T, P, _>(backend, remainder)
}

#[cfg_attr(not(debug_assertions), inline(always))]
fn run<T: Float, P: Pointwise<T>, J: Job<Output = Result<(), Error>>>(
    backend: Backend,
    job: J,
) -> Result<(), Error> {
    if P::RARE {
        backend.run_rare(job)
    } else {
        backend.run_call(job)
    }
}

/// What runs a call.
///
/// A call is made once, and not copied: copies are 16 bytes and more at a time, and a load of two words that were
/// stored just before, each by itself, waits until they are in the cache.
pub(crate) type Run<T> = fn(&mut Call<'_, T>) -> Result<(), Error>;

/// What is done with weights of rows and classes: pointers, so that programs that have none do not
/// contain it.
#[derive(Debug)]
#[allow(clippy::type_complexity, reason = "each is said once, here")]
pub struct Shaper<T: 'static> {
    pub(crate) run: fn(&Shape<'_, T>, Run<T>, &mut Call<'_, T>) -> Result<(), Error>,
    pub(crate) add_weights:
        fn(&Shape<'_, T>, Backend, Inputs<'_, T>, &mut SpanSum) -> Result<(), Error>,
    pub(crate) first_invalid: fn(Backend, &[T], bool) -> Result<Option<usize>, Error>,
}

/// The calls on one element type.
pub trait Entries: Sized + 'static {
    /// Targets of 0 and of 1, for short calls.
    const LABELS: [&'static [Self]; 2];
    /// The only instance.
    const SHAPER: &'static Shaper<Self>;
    /// Loss, gradient and Hessian of cross-entropy, where no option changes the formulas.
    fn cross_entropy(call: &mut Call<'_, Self>) -> Result<(), Error>;
    /// The same where no losses are wanted: faster there.
    fn derivatives(call: &mut Call<'_, Self>) -> Result<(), Error>;
    /// The same with what the options make of them.
    fn smoothed_weighted(call: &mut Call<'_, Self>) -> Result<(), Error>;
    /// `cross_entropy` of few elements without options, lengths not yet checked: the sum, or NaN
    /// if it cannot be done in short.
    fn short_loss(z: &[Self], t: &[Self], loss: &mut [Self], backend: Option<Backend>) -> f64;
    fn short_sum(z: &[Self], t: &[Self], nothing: &mut [Self], backend: Option<Backend>) -> f64;
    fn short_gradient(
        z: &[Self],
        t: &[Self],
        gradient: &mut [Self],
        backend: Option<Backend>,
    ) -> f64;
    fn short_sum_gradient(
        z: &[Self],
        t: &[Self],
        gradient: &mut [Self],
        backend: Option<Backend>,
    ) -> f64;
    /// Divides gradients as calls of means do.
    fn divide(gradient: &mut [Self], divisor: f64);
    /// The short calls with any results, and nothing instead of NaN.
    fn short(
        backend: Backend,
        wanted: Wanted,
        z: &[Self],
        t: &[Self],
        outputs: [&mut [Self]; 3],
    ) -> Option<f64>;
    /// The loss of one element with a valid target, or nothing if it cannot be done in short.
    fn single_loss(z: Self, t: Self) -> Option<Self>;
    fn single_gradient(z: Self, t: Self) -> Option<Self>;
    /// `cross_entropy` with the excess instead of the loss.
    fn excess(call: &mut Call<'_, Self>) -> Result<(), Error>;
    /// What few programs ask for, as `Call::general` says.
    fn general(call: &mut Call<'_, Self>) -> Result<(), Error>;
    /// The logit of the targets, as a loss.
    fn logit(call: &mut Call<'_, Self>) -> Result<(), Error>;
    /// Adds the positive values or the magnitudes of the negative ones. NaN is both. Whether
    /// there were values of the other sign.
    fn add(
        backend: Backend,
        values: &[Self],
        negative: bool,
        sum: &mut SpanSum,
    ) -> Result<bool, Error>;
    /// A pass over the rows of a matrix.
    #[cfg(feature = "linear")]
    fn linear(pass: Pass<'_, Self>) -> Result<(), Error>
    where
        Self: Float;
}

macro_rules! entries {
    ($real:ident) => {
        impl Entries for $real {
            const LABELS: [&'static [Self]; 2] = [&[0.0; MAIN_LOOP], &[1.0; MAIN_LOOP]];
            const SHAPER: &'static Shaper<Self> = &Shaper {
                run: |shape, run, call| {
                    let Call {
                        backend,
                        options,
                        general,
                        ref mut slices,
                    } = *call;
                    shape.run(backend, slices, |slices| {
                        run(&mut Call {
                            backend,
                            options,
                            general,
                            slices,
                        })
                    })
                },
                add_weights: |shape, backend, inputs, sum| shape.add_weights(backend, inputs, sum),
                first_invalid: shape::first_invalid,
            };
            fn cross_entropy(call: &mut Call<'_, Self>) -> Result<(), Error> {
                call.apply_for::<_, true>(Plain)
            }
            fn derivatives(call: &mut Call<'_, Self>) -> Result<(), Error> {
                call.apply_for::<_, false>(Plain)
            }
            fn smoothed_weighted(call: &mut Call<'_, Self>) -> Result<(), Error> {
                match call.options {
                    None => call.apply(Plain),
                    Some(function) => call.apply(function),
                }
            }
            fn short_loss(
                z: &[Self],
                t: &[Self],
                output: &mut [Self],
                backend: Option<Backend>,
            ) -> f64 {
                Backend::run_short::<Self, Short<true, false, false>>(z, t, output, backend)
            }
            fn short_sum(
                z: &[Self],
                t: &[Self],
                output: &mut [Self],
                backend: Option<Backend>,
            ) -> f64 {
                Backend::run_short::<Self, Short<false, true, false>>(z, t, output, backend)
            }
            fn short_gradient(
                z: &[Self],
                t: &[Self],
                output: &mut [Self],
                backend: Option<Backend>,
            ) -> f64 {
                Backend::run_short::<Self, Short<false, false, true>>(z, t, output, backend)
            }
            fn short_sum_gradient(
                z: &[Self],
                t: &[Self],
                output: &mut [Self],
                backend: Option<Backend>,
            ) -> f64 {
                Backend::run_short::<Self, Short<false, true, true>>(z, t, output, backend)
            }
            fn divide(gradient: &mut [Self], divisor: f64) {
                for gradient in gradient {
                    *gradient = *gradient / divisor as $real + 0.0;
                }
            }
            fn short(
                backend: Backend,
                wanted: Wanted,
                z: &[Self],
                t: &[Self],
                outputs: [&mut [Self]; 3],
            ) -> Option<f64> {
                let vectors = Vectors {
                    wanted,
                    z,
                    t,
                    outputs,
                };
                backend.run(vectors).ok()?
            }
            fn single_loss(z: Self, t: Self) -> Option<Self> {
                Backend::run_single(Single::<_, true> { z, t })
            }
            fn single_gradient(z: Self, t: Self) -> Option<Self> {
                Backend::run_single(Single::<_, false> { z, t })
            }
            fn excess(call: &mut Call<'_, Self>) -> Result<(), Error> {
                if call.slices.wanted.losses() {
                    call.apply_for::<_, true>(Excess)
                } else {
                    Self::derivatives(call)
                }
            }
            fn general(call: &mut Call<'_, Self>) -> Result<(), Error> {
                let general = call.general;
                call.apply(general)
            }
            fn logit(call: &mut Call<'_, Self>) -> Result<(), Error> {
                call.apply_for::<_, true>(Logit)
            }
            fn add(
                backend: Backend,
                values: &[Self],
                negative: bool,
                sum: &mut SpanSum,
            ) -> Result<bool, Error> {
                backend.run(AddValues {
                    sum,
                    values,
                    negative,
                })
            }
            #[cfg(feature = "linear")]
            fn linear(pass: Pass<'_, Self>) -> Result<(), Error> {
                pass.run_on_backend()
            }
        }
    };
}

entries!(f32);
entries!(f64);

/// Loss, gradient and Hessian, correctly rounded.
pub(crate) fn exact(call: &mut Call<'_, f32>) -> Result<(), Error> {
    call.apply(Exact)
}
