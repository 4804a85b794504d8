//! Reads `src/accuracy.md`, the one table of budgets.

use crate::check::Requirement;
use crate::mpfr::Function;

/// The file, as rustdoc shows it.
pub const DOCUMENT: &str = include_str!("../../src/accuracy.md");

/// How a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Without options.
    Default,
    /// With weights, a positive weight or label smoothing.
    Options,
    /// `Bce::excess`.
    Excess,
    /// `Bce::exact`, `soft_bce::exact`.
    Exact,
}

impl Mode {
    /// The name in the table.
    pub fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Options => "options",
            Self::Excess => "excess",
            Self::Exact => "exact",
        }
    }
}

/// The table itself: the lines between its header and the first line after it that is no row.
pub fn table(document: &str) -> String {
    document
        .lines()
        .skip_while(|line| !line.starts_with("| function |"))
        .take_while(|line| line.starts_with('|'))
        .collect::<Vec<_>>()
        .join("\n")
}

/// The functions in the pictures `docs/accuracy/ulp-*.svg`.
pub const PICTURED: [Function; 6] = [
    Function::Loss,
    Function::Gradient,
    Function::Hessian,
    Function::Sigmoid,
    Function::LogSigmoid,
    Function::Softplus,
];

/// What stands above a function's errors in a picture: its name and its budget.
pub fn caption(function: Function, format: &str) -> Result<String, String> {
    match requirement(function, format, Mode::Default)? {
        Requirement::Within(budget) => Ok(format!("{}, within {budget} ULP", function.name())),
        Requirement::CorrectlyRounded => Ok(format!("{}, correctly rounded", function.name())),
    }
}

/// The requirement on a function, or an error that names the row that is missing or malformed.
pub fn requirement(function: Function, format: &str, mode: Mode) -> Result<Requirement, String> {
    named_requirement(function, format, mode.name())
}

/// The same for a mode of the table that `mpfr` does not know.
pub fn named_requirement(
    function: Function,
    format: &str,
    mode: &str,
) -> Result<Requirement, String> {
    let wanted = [function.name(), format, mode];
    let rows: Vec<Vec<String>> = table(DOCUMENT)
        .lines()
        .map(|row| {
            row.split('|')
                .map(|cell| cell.trim().replace('`', ""))
                .collect::<Vec<_>>()
        })
        .filter(|cells| {
            cells.len() > 4
                && wanted
                    .iter()
                    .zip(&cells[1..4])
                    .all(|(name, cell)| name == cell)
        })
        .collect();
    let [row] = rows.as_slice() else {
        return Err(format!(
            "{} rows for {wanted:?} in src/accuracy.md",
            rows.len()
        ));
    };
    if row[4] == "correctly rounded" {
        return Ok(Requirement::CorrectlyRounded);
    }
    match row[4].parse() {
        Ok(budget) if (0.5..100.0).contains(&budget) => Ok(Requirement::Within(budget)),
        _ => Err(format!("{:?} for {wanted:?} in src/accuracy.md", row[4])),
    }
}

/// The table by functions and by types and modes, as the README has it.
pub fn overview() -> String {
    const COLUMNS: [(&str, &str); 7] = [
        ("f32", "default"),
        ("f64", "default"),
        ("f32", "exact"),
        ("f32", "options"),
        ("f64", "options"),
        ("f32", "excess"),
        ("f64", "excess"),
    ];
    let rows: Vec<Vec<&str>> = DOCUMENT
        .lines()
        .skip_while(|line| !line.starts_with("|---"))
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|row| row.split('|').map(str::trim).collect())
        .collect();
    let mut functions: Vec<&str> = Vec::new();
    for row in &rows {
        if !functions.contains(&row[1]) {
            functions.push(row[1]);
        }
    }
    let heads = COLUMNS.map(|(format, mode)| match mode {
        "default" => format.to_owned(),
        mode => format!("{format} {mode}"),
    });
    let mut overview = format!("| | {} |\n|{}", heads.join(" | "), "---|".repeat(8));
    for function in functions {
        let cells = COLUMNS.map(|(format, mode)| {
            let row = rows
                .iter()
                .find(|row| row[1..4] == [function, format, mode]);
            match row.map(|row| row[4]) {
                None => "",
                Some("correctly rounded") => "0.5",
                Some(budget) => budget,
            }
        });
        overview += &format!("\n| {function} | {} |", cells.join(" | "));
    }
    overview
}
