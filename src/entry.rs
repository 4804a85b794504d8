//! What is compiled with this crate, once: a function for each operation on each
//! element type.
//!
//! `Bce<T>` is generic, so its methods are compiled by the crates that call them.
//! Without this layer so were the vector code: in each of them anew, and at its
//! optimisation level.

use crate::blocks::{
    ALL, CHECK, DIVIDE, GRADIENT, HESSIAN, Inputs, LOSS, Outputs, PART, Part, SUM, Walk,
};
use crate::dispatch::Backend;
use crate::error::Error;
use crate::excess::Excess;
use crate::kernel::{Identity, LogSigmoid, Logit, Plain, Pointwise, Shaped, Sigmoid, Softplus};
use crate::lane::scalar::Scalar;
use crate::lane::{Constants, Isa, Real};
use crate::total::Total;

const GRADIENT_HESSIAN: u8 = GRADIENT | HESSIAN;

/// A call whose lengths agree and whose options are valid.
pub struct Call<'a, T> {
    pub(crate) backend: Backend,
    /// What the options make of the formulas, if anything.
    pub(crate) shaped: Option<Shaped<T>>,
    pub(crate) inputs: Inputs<'a, T>,
    pub(crate) outputs: Outputs<'a, T>,
    pub(crate) total: &'a mut Total,
}

impl<T: Constants> Call<'_, T> {
    #[inline(always)]
    pub(crate) fn walk<P: Pointwise<T>, const WHAT: u8>(self, function: P) -> Result<(), Error> {
        self.walk_or::<P, P, WHAT>(function, function)
    }

    /// `walk` where `function` computes no more than `WHAT`; `any` computes everything.
    #[inline(always)]
    pub(crate) fn walk_or<P: Pointwise<T>, A: Pointwise<T>, const WHAT: u8>(
        mut self,
        function: P,
        any: A,
    ) -> Result<(), Error> {
        let backend = self.backend;
        let inputs = &self.inputs;
        let outputs = &mut self.outputs;
        let total = &mut *self.total;
        let result = if backend == Backend::Scalar {
            Scalar.run(Part::<_, _, WHAT> {
                function,
                inputs,
                outputs,
                total: Some(total),
                start: 0,
            })
        } else if inputs.z.len() < PART {
            backend.run(Part::<_, _, ALL> {
                function: any,
                inputs,
                outputs,
                total: (WHAT & SUM != 0).then_some(total),
                start: 0,
            })?
        } else {
            backend.run(Walk::<_, _, _, WHAT> {
                function,
                any,
                inputs: *inputs,
                outputs,
                total,
            })?
        };
        if result.is_err() {
            self.outputs.poison();
        }
        result
    }

    /// As `walk`, but the same code whatever is asked for: for functions whose own
    /// cost hides that of the memory.
    #[inline(always)]
    pub(crate) fn lane_by_lane<P: Pointwise<T>>(
        mut self,
        function: P,
        sum: bool,
    ) -> Result<(), Error> {
        let part = Part::<_, _, ALL> {
            function,
            inputs: &self.inputs,
            outputs: &mut self.outputs,
            total: sum.then_some(self.total),
            start: 0,
        };
        let result = if self.backend == Backend::Scalar {
            Scalar.run(part)
        } else {
            self.backend.run(part)?
        };
        if result.is_err() {
            self.outputs.poison();
        }
        result
    }
}

macro_rules! operations {
    ($($name:ident = $what:expr;)*) => {
        /// The operations on one element type.
        pub trait Entries: Sized {
            $(fn $name(call: Call<'_, Self>) -> Result<(), Error>;)*
            /// The sum of the values themselves.
            fn total(call: Call<'_, Self>) -> Result<(), Error>;
            fn sigmoid(call: Call<'_, Self>) -> Result<(), Error>;
            fn log_sigmoid(call: Call<'_, Self>) -> Result<(), Error>;
            fn softplus(call: Call<'_, Self>) -> Result<(), Error>;
            fn logit(call: Call<'_, Self>) -> Result<(), Error>;
            /// The operation `what` of `Bce::excess`.
            fn excess(what: u8, call: Call<'_, Self>) -> Result<(), Error>;
        }

        operations!(@implement f32 $($name = $what;)*);
        operations!(@implement f64 $($name = $what;)*);

        impl<T: Real> Call<'_, T> {
            /// The operation that computes `WHAT`.
            #[inline(always)]
            pub(crate) fn run<const WHAT: u8>(self) -> Result<(), Error> {
                $(if WHAT == $what {
                    return T::$name(self);
                })*
                const { assert!($(WHAT == $what)||*, "no such operation") };
                Ok(())
            }
        }
    };
    (@implement $real:ident $($name:ident = $what:expr;)*) => {
        impl Entries for $real {
            $(fn $name(call: Call<'_, Self>) -> Result<(), Error> {
                match call.shaped {
                    None => call.walk::<_, { $what }>(Plain),
                    Some(function) => call.walk::<_, { $what }>(function),
                }
            })*
            fn total(call: Call<'_, Self>) -> Result<(), Error> {
                call.walk::<_, SUM>(Identity)
            }
            fn sigmoid(call: Call<'_, Self>) -> Result<(), Error> {
                call.walk::<_, LOSS>(Sigmoid)
            }
            fn log_sigmoid(call: Call<'_, Self>) -> Result<(), Error> {
                call.walk::<_, LOSS>(LogSigmoid)
            }
            fn softplus(call: Call<'_, Self>) -> Result<(), Error> {
                call.walk::<_, LOSS>(Softplus)
            }
            fn logit(call: Call<'_, Self>) -> Result<(), Error> {
                call.walk::<_, LOSS>(Logit)
            }
            fn excess(what: u8, call: Call<'_, Self>) -> Result<(), Error> {
                match what {
                    CHECK => Self::check(call),
                    GRADIENT => Self::gradient(call),
                    GRADIENT_HESSIAN => Self::gradient_hessian(call),
                    _ => call.lane_by_lane(Excess, what & SUM != 0),
                }
            }
        }
    };
}

operations! {
    check = CHECK;
    loss = LOSS;
    sum = SUM;
    gradient = GRADIENT;
    sum_gradient = SUM | GRADIENT;
    mean_gradient = SUM | GRADIENT | DIVIDE;
    gradient_hessian = GRADIENT_HESSIAN;
    sum_gradient_hessian = SUM | GRADIENT | HESSIAN;
}
