//! The fractional logit of the 401(k) data by argmin's L-BFGS: it needs the mean loss and its
//! gradient by the coefficients, which are the kernel's by the logits times the design. Fails where
//! a coefficient differs from the reference's (by statsmodels) by more than 1e-5 of itself.

use std::error::Error;
use std::fs;

use argmin::core::{CostFunction, Executor, Gradient, State};
use argmin::solver::{linesearch::MoreThuenteLineSearch, quasinewton::LBFGS};
use ndarray::{Array1, Array2, ArrayView1, Axis};
use soft_bce_ndarray::Bce;

const DATA: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fractional-logit/data/");
const TERMS: [&str; 7] = [
    "const", "mrate", "ltotemp", "ltotemp2", "age", "age2", "sole",
];
const TOLERANCE: f64 = 1e-5;

struct Problem {
    design: Array2<f64>,
    targets: Array1<f64>,
}

impl CostFunction for Problem {
    type Param = Vec<f64>;
    type Output = f64;

    fn cost(&self, coefficients: &Vec<f64>) -> Result<f64, argmin::core::Error> {
        let logits = self.design.dot(&ArrayView1::from(coefficients));
        Ok(Bce::new().mean(&logits, &self.targets)?)
    }
}

impl Gradient for Problem {
    type Param = Vec<f64>;
    type Gradient = Vec<f64>;

    fn gradient(&self, coefficients: &Vec<f64>) -> Result<Vec<f64>, argmin::core::Error> {
        let logits = self.design.dot(&ArrayView1::from(coefficients));
        let mut by_logits = Array1::zeros(logits.len());
        Bce::new().mean_gradient(&logits, &self.targets, &mut by_logits)?;
        Ok(self.design.t().dot(&by_logits).to_vec())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut reader = csv::Reader::from_path(format!("{DATA}401k.csv"))?;
    let header = reader.headers()?.clone();
    let (mut design, mut targets) = (Vec::new(), Vec::new());
    for record in reader.records() {
        let record = record?;
        let column = |name: &str| -> Result<f64, Box<dyn Error>> {
            let place = header.iter().position(|other| other == name);
            let text = place
                .and_then(|place| record.get(place))
                .ok_or("a column is missing")?;
            Ok(text.trim().parse()?)
        };
        let (employees, age) = (column("totemp")?.ln(), column("age")?);
        let row = [
            1.0,
            column("mrate")?,
            employees,
            employees.powi(2),
            age,
            age.powi(2),
            column("sole")?,
        ];
        design.extend(row);
        targets.push(column("prate")?);
    }
    let design = Array2::from_shape_vec((targets.len(), TERMS.len()), design)?;
    // L-BFGS needs columns of like scale: of mean 0 and deviation 1, but for the constant.
    let mut means = design.mean_axis(Axis(0)).ok_or("no rows")?;
    let mut deviations = design.std_axis(Axis(0), 0.0);
    (means[0], deviations[0]) = (0.0, 1.0);
    let problem = Problem {
        design: (design - &means) / &deviations,
        targets: targets.into(),
    };

    let solver = LBFGS::new(MoreThuenteLineSearch::new(), TERMS.len())
        .with_tolerance_grad(1e-10)?
        .with_tolerance_cost(0.0)?;
    let result = Executor::new(problem, solver)
        .configure(|state| state.param(vec![0.0; TERMS.len()]).max_iters(100))
        .run()?;
    let state = result.state();
    let standardised = state.get_best_param().ok_or("no coefficients")?;
    let mut coefficients = Array1::from(standardised.clone()) / &deviations;
    coefficients[0] -= coefficients.dot(&means);

    let reference: serde_json::Value =
        serde_json::from_str(&fs::read_to_string(format!("{DATA}401k-reference.json"))?)?;
    println!(
        "{} iterations, mean loss {:.10}",
        state.get_iter(),
        state.get_best_cost()
    );
    let mut all_close = true;
    for (term, found) in TERMS.iter().zip(&coefficients) {
        let wanted = reference["coef"][term]
            .as_f64()
            .ok_or("a coefficient is missing")?;
        let difference = ((found - wanted) / wanted).abs();
        println!("{term:10} {found:14.8} {wanted:14.8}, relative difference {difference:.1e}");
        all_close &= difference <= TOLERANCE;
    }
    if !all_close {
        return Err(format!("coefficients differ by more than {TOLERANCE}").into());
    }
    Ok(())
}
