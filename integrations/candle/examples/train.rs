//! A linear model, 4,096 x 64 -> 1, fitted to soft targets, with this crate's loss and with candle's
//! own, step by step in turn: what a step costs, and where they end.

use std::time::Instant;

use candle_core::{DType, Device, Result, Tensor};
use candle_nn::loss::binary_cross_entropy_with_logit as candles_own;
use candle_nn::{Linear, Module, Optimizer, SGD, VarBuilder, VarMap, linear_no_bias};
use soft_bce_candle::{Options, binary_cross_entropy_with_logits};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROWS: usize = 4096;
const FEATURES: usize = 64;
const STEPS: usize = 500;

struct Training {
    model: Linear,
    optimizer: SGD,
    loss: fn(&Tensor, &Tensor) -> Result<Tensor>,
    times: Vec<f64>,
}

impl Training {
    fn new(loss: fn(&Tensor, &Tensor) -> Result<Tensor>) -> Result<Self> {
        let variables = VarMap::new();
        let builder = VarBuilder::from_varmap(&variables, DType::F32, &Device::Cpu);
        let model = linear_no_bias(FEATURES, 1, builder)?;
        for variable in variables.all_vars() {
            variable.set(&variable.zeros_like()?)?;
        }
        let optimizer = SGD::new(variables.all_vars(), 1.0)?;
        Ok(Self {
            model,
            optimizer,
            loss,
            times: Vec::new(),
        })
    }

    fn step(&mut self, design: &Tensor, targets: &Tensor) -> Result<f32> {
        let start = Instant::now();
        let loss = (self.loss)(&self.model.forward(design)?, targets)?;
        self.optimizer.backward_step(&loss)?;
        self.times.push(start.elapsed().as_secs_f64() * 1e6);
        loss.to_scalar()
    }

    fn median(&mut self) -> f64 {
        self.times.sort_by(f64::total_cmp);
        self.times[self.times.len() / 2]
    }
}

fn main() -> Result<()> {
    // Spread evenly over the cube: multiples of logarithms, modulo 1.
    let value = |row: usize, feature: usize| {
        (2.0 * (row as f64 * (feature as f64 + 2.0).ln()).fract() - 1.0) as f32
    };
    let design = (0..ROWS * FEATURES).map(|i| value(i / FEATURES, i % FEATURES));
    let design = Tensor::from_iter(design, &Device::Cpu)?.reshape((ROWS, FEATURES))?;
    let teacher = (0..FEATURES).map(|feature| value(feature + 7, 1));
    let teacher = Tensor::from_iter(teacher, &Device::Cpu)?.reshape((FEATURES, 1))?;
    let targets = candle_nn::ops::sigmoid(&design.matmul(&teacher)?)?;

    let mut ours =
        Training::new(|z, t| binary_cross_entropy_with_logits(z, t, &Options::default()))?;
    let mut theirs = Training::new(candles_own)?;
    let (mut our_loss, mut their_loss) = (0.0, 0.0);
    for _ in 0..STEPS {
        our_loss = ours.step(&design, &targets)?;
        their_loss = theirs.step(&design, &targets)?;
    }

    let apart = (ours.model.weight().t()? - &teacher)?.abs()?;
    let apart = apart.max_all()?.to_scalar::<f32>()?;
    println!("loss after {STEPS} steps: {our_loss} with soft-bce, {their_loss} with candle's own");
    println!("farthest weight from the teacher's: {apart}");
    let (our_time, their_time) = (ours.median(), theirs.median());
    println!("median step: {our_time:.0} us with soft-bce, {their_time:.0} us with candle's own");
    println!("ratio: {:.2}", their_time / our_time);
    if apart > 0.02 {
        candle_core::bail!("the teacher was not found");
    }
    Ok(())
}
