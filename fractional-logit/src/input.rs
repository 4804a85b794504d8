//! A CSV file as features, targets and what else a row has, in chunks; and where whatever it cannot use stands.

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use csv::{ByteRecord, ReaderBuilder, Trim};
use fractional_logit::{
    Data, Error, Features, Fit, Model, Path as PenaltyPath, Place, Step, cross_validate,
};
use serde::{Deserialize, Serialize};

use crate::lines::Lines;

/// Penalties of a path.
const LAMBDAS: usize = 25;
/// Rows of a chunk.
const CHUNK: usize = 1 << 16;
/// A category of at least so many levels has no columns, if the fit allows it.
const MANY_LEVELS: usize = 32;
/// Of the design.
const MOST_COLUMNS: usize = 2048;
/// In A*B*C.
const MOST_CROSSED: usize = 8;
/// Names in a message.
const MOST_NAMES: usize = 24;
const GRAMMAR: &str = "a feature is NAME, ln(NAME), sqrt(NAME), a power NAME^2, an interaction A:B, A*B for A,B,A:B, or \
    C(NAME) for categories (C(NAME, LEVEL) names the one to compare with); `NAME` or \"NAME\" where a name has commas or \
    signs";

const OPEN_QUOTE: &str = "; a quote (\") is opened, here or before, and not closed";

/// A pipe, such as that of `<(zcat data.csv.gz)`.
fn can_be_read_once(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|of| !of.is_file() && !of.is_dir())
}

fn has_digit(text: &str) -> bool {
    text.chars().any(|of| of.is_ascii_digit())
}

/// What is wrong with the data, and where.
#[derive(Debug)]
pub struct Problem {
    file: PathBuf,
    line: Option<u64>,
    column: Option<String>,
    message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if let Some(column) = &self.column {
            write!(f, ": column `{column}`")?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for Problem {}

/// How the file is written.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct Format {
    /// The character between fields; `tab` for a tab
    #[arg(long, value_name = "CHARACTER", value_parser = character, default_value = ",", help_heading = "Input")]
    separator: Character,
    /// Numbers have a comma before their fraction: 0,75
    #[arg(long, help_heading = "Input")]
    decimal_comma: bool,
    /// Words for a missing value: a row with one in a column that is used is left out, and counted. An empty word
    /// stands for an empty field: --na ',NA' takes both, empty fields and NA
    #[arg(
        long,
        value_name = "WORD,...",
        value_delimiter = ',',
        help_heading = "Input"
    )]
    na: Vec<String>,
    /// Column of percentages, with or without the sign: 85 or 85% is 0.85; may be given more than once
    #[arg(long, value_name = "COLUMN", help_heading = "Input")]
    percent: Vec<String>,
    /// Lines that start with this character are left out
    #[arg(long, value_name = "CHARACTER", value_parser = character, help_heading = "Input")]
    comment: Option<Character>,
}

/// One byte of text.
#[derive(Clone, Copy, Debug)]
struct Character(u8);

impl Default for Character {
    fn default() -> Self {
        Self(b',')
    }
}

fn character(text: &str) -> Result<Character, String> {
    match text.as_bytes() {
        _ if text == "tab" || text == "\\t" => Ok(Character(b'\t')),
        [byte] if byte.is_ascii() && !byte.is_ascii_alphanumeric() => Ok(Character(*byte)),
        _ => Err("one ASCII sign, or `tab`".to_owned()),
    }
}

type Reader<'a> = csv::Reader<Lines<Box<dyn Read + 'a>>>;

/// The columns of the file that are used, by name.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    pub target: Option<String>,
    /// As they were asked for; or known already.
    pub formula: String,
    pub features: Vec<Feature>,
    /// The one whose levels have no columns; found where there are none yet, unless all need columns.
    pub levels_of: Option<usize>,
    pub columns_only: bool,
    pub trials: Option<String>,
    pub failures: Option<String>,
    pub weight: Option<String>,
    pub offset: Option<String>,
    pub cluster: Option<String>,
}

/// A feature as it was asked for: a product of factors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Feature {
    factors: Vec<Factor>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Factor {
    name: String,
    column: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Kind {
    Power {
        function: Function,
        power: i32,
    },
    /// An indicator of each level but the first; found in the file where there are none yet.
    Category {
        reference: Option<String>,
        levels: Vec<String>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Function {
    Identity,
    Ln,
    Sqrt,
}

impl Function {
    fn name(self) -> &'static str {
        match self {
            Self::Identity => "",
            Self::Ln => "ln",
            Self::Sqrt => "sqrt",
        }
    }
}

/// Some rows of the file, of positive weight.
#[derive(Default)]
pub struct Chunk {
    first_row: u64,
    lines: Vec<u64>,
    columns: Vec<Vec<f64>>,
    pub targets: Vec<f64>,
    trials: Vec<f64>,
    pub weights: Vec<f64>,
    offset: Vec<f64>,
    clusters: Vec<u64>,
    levels: Vec<u32>,
}

impl Chunk {
    pub fn rows(&self) -> usize {
        self.lines.len()
    }

    pub fn line(&self, row: usize) -> u64 {
        self.lines[row]
    }

    /// The fraction and the weight of a row, trials included.
    pub fn fraction(&self, row: usize) -> (f64, f64) {
        let trials = self.trials.get(row).copied().unwrap_or(1.0);
        let weight = self.weights.get(row).copied().unwrap_or(1.0);
        (self.targets[row] / trials, weight * trials)
    }

    pub fn offset(&self) -> Option<&[f64]> {
        (!self.offset.is_empty()).then_some(&self.offset)
    }

    pub fn levels(&self) -> Option<&[u32]> {
        (!self.levels.is_empty()).then_some(&self.levels)
    }

    /// `visit` with the features.
    pub fn with_features<R>(
        &self,
        visit: impl FnOnce(Features<'_, f64>) -> R,
    ) -> Result<R, soft_bce::Error> {
        let columns: Vec<&[f64]> = self.columns.iter().map(Vec::as_slice).collect();
        Ok(visit(Features::columns(&columns, self.rows())?))
    }
}

/// The file, and what is used of it.
pub struct Input {
    path: PathBuf,
    format: Format,
    roles: Roles,
    /// What was read from standard input or a pipe.
    bytes: Option<Vec<u8>>,
    /// Everything, unless the file is too large.
    chunks: Option<Vec<Chunk>>,
    /// Read as it comes.
    of_standard_input: bool,
    /// Of what can be read once alone, and is not in `bytes`: whether it has been.
    was_read: Option<Cell<bool>>,
    /// The line of the header, once it has been read.
    header_line: Cell<Option<u64>>,
    pub unweighted_rows: u64,
    pub missing_rows: u64,
}

/// Where the columns are in a record.
struct Places {
    target: Option<usize>,
    trials: Option<usize>,
    failures: Option<usize>,
    weight: Option<usize>,
    offset: Option<usize>,
    cluster: Option<usize>,
    /// Of each factor of each feature.
    features: Vec<Vec<usize>>,
    percent: Vec<usize>,
    names: Vec<String>,
}

impl Input {
    /// Reads the file once: all of it if it has at most `in_memory` bytes, or the levels of categories alone.
    pub fn open(
        path: &Path,
        contents: Option<&[u8]>,
        format: Format,
        roles: Roles,
        in_memory: u64,
    ) -> Result<Self, Problem> {
        let mut input = Self {
            path: path.to_owned(),
            format,
            roles,
            bytes: contents.map(<[u8]>::to_vec),
            chunks: None,
            of_standard_input: false,
            was_read: None,
            header_line: Cell::new(None),
            unweighted_rows: 0,
            missing_rows: 0,
        };
        let mut length = 0;
        if contents.is_some() {
            // Nothing to look for.
        } else if path == Path::new("-") {
            input.path = PathBuf::from("standard input");
            let mut bytes = Vec::new();
            let read = std::io::stdin().lock().read_to_end(&mut bytes);
            read.map_err(|error| input.problem(None, None, error.to_string()))?;
            input.bytes = Some(bytes);
        } else if can_be_read_once(path) {
            let bytes = std::fs::read(path);
            let bytes = bytes.map_err(|error| input.problem(None, None, error.to_string()))?;
            input.bytes = Some(bytes);
        } else if let Ok(metadata) = std::fs::metadata(path) {
            length = metadata.len();
        }
        if !input.roles.formula.is_empty() {
            let names = input.header()?;
            let features = parse_features(&input.roles.formula, &names);
            let at_header = |message| input.problem(input.header_line.get(), None, message);
            input.roles.features = features.map_err(at_header)?;
        }
        for name in [&input.roles.target, &input.roles.failures]
            .into_iter()
            .flatten()
        {
            let mut factors = input.roles.features.iter().flat_map(|of| &of.factors);
            if factors.any(|factor| factor.column == *name) {
                let message = "is what is to be explained, and cannot be a feature too".to_owned();
                return Err(input.problem(input.header_line.get(), Some(name), message));
            }
        }
        input.find_levels()?;
        input.choose_levels()?;
        if length <= in_memory {
            let mut chunks = Vec::new();
            input.read(&mut |chunk| -> Result<(), Problem> {
                chunks.push(chunk);
                Ok(())
            })?;
            input.chunks = Some(chunks);
        }
        Ok(input)
    }

    /// To be read once, as it comes: for a model whose features are known.
    pub fn stream(path: &Path, format: Format, roles: Roles) -> Self {
        let of_standard_input = path == Path::new("-");
        let name = if of_standard_input {
            Path::new("standard input")
        } else {
            path
        };
        Self {
            path: name.to_owned(),
            format,
            roles,
            bytes: None,
            chunks: None,
            of_standard_input,
            was_read: (of_standard_input || can_be_read_once(path)).then(Cell::default),
            header_line: Cell::new(None),
            unweighted_rows: 0,
            missing_rows: 0,
        }
    }

    /// The feature of many levels that gets no columns; whether the others' are not too many.
    fn choose_levels(&mut self) -> Result<(), Problem> {
        let features = &self.roles.features;
        let width = |at: &usize| features[*at].width();
        let mut all: Vec<usize> = (0..features.len()).collect();
        if !self.roles.columns_only && self.roles.cluster.is_none() {
            let candidates = all.iter().copied().filter(|at| {
                let [Factor { kind, .. }] = &features[*at].factors[..] else {
                    return false;
                };
                matches!(kind, Kind::Category { levels, .. } if levels.len() >= MANY_LEVELS)
            });
            self.roles.levels_of = candidates.max_by_key(width);
        }
        all.retain(|at| Some(*at) != self.roles.levels_of);
        let columns: usize = all.iter().map(width).sum();
        let widest = all.into_iter().max_by_key(width);
        let Some(widest) = widest.filter(|_| columns > MOST_COLUMNS) else {
            return Ok(());
        };
        let column = features[widest].factors[0].column.clone();
        let message = format!(
            "the features make {columns} columns, {} of them from here, and {MOST_COLUMNS} is the limit: one category C(NAME) of \
             many levels needs none, but a second one, or one in an interaction, or with --cluster, --lasso or --firth does",
            width(&widest)
        );
        Err(self.problem(None, Some(&column), message))
    }

    /// How many levels the feature has that has no columns, or 0.
    fn level_count(&self) -> u32 {
        let of = self.roles.levels_of.map(|at| &self.roles.features[at]);
        of.map_or(0, |of| of.width() as u32 + 1)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn features(&self) -> &[Feature] {
        &self.roles.features
    }

    pub fn problem(&self, line: Option<u64>, column: Option<&str>, message: String) -> Problem {
        Problem {
            file: self.path.clone(),
            line,
            column: column.map(str::to_owned),
            message,
        }
    }

    /// Calls `visit` with every chunk of rows, from memory or from the file.
    pub fn pass<E: From<Problem>>(
        &mut self,
        visit: &mut dyn FnMut(&Chunk) -> Result<(), E>,
    ) -> Result<(), E> {
        match &self.chunks {
            Some(chunks) => chunks.iter().try_for_each(visit),
            None => self.read(&mut |chunk| visit(&chunk)),
        }
    }

    pub fn levels_of(&self) -> Option<usize> {
        self.roles.levels_of
    }

    /// With the one last whose levels have no columns.
    fn features_in_order(&self) -> impl Iterator<Item = &Feature> {
        let last = self.roles.levels_of;
        let others = (0..self.roles.features.len()).filter(move |at| Some(*at) != last);
        others.chain(last).map(|at| &self.roles.features[at])
    }

    /// Names of the coefficients but the constant: of the features, their levels and products.
    pub fn names(&self) -> Vec<String> {
        self.features_in_order().flat_map(Feature::names).collect()
    }

    /// The column of the file that a column of the design comes from.
    fn column_of(&self, design: usize) -> Option<&str> {
        let columns = self
            .features_in_order()
            .flat_map(|of| std::iter::repeat_n(of.factors[0].column.as_str(), of.width()));
        columns.into_iter().nth(design)
    }

    fn reader(&self) -> Result<Reader<'_>, Problem> {
        let source: Box<dyn Read> = match (&self.bytes, &self.was_read) {
            (Some(bytes), _) => Box::new(Cursor::new(bytes)),
            (None, Some(was_read)) if was_read.replace(true) => {
                return Err(self.problem(None, None, "has been read".to_owned()));
            }
            (None, Some(_)) if self.of_standard_input => Box::new(std::io::stdin().lock()),
            (None, _) => {
                let file = std::fs::File::open(&self.path);
                Box::new(file.map_err(|error| self.problem(None, None, error.to_string()))?)
            }
        };
        let comment = self.format.comment.map(|of| of.0);
        Ok(ReaderBuilder::new()
            .trim(Trim::All)
            .delimiter(self.format.separator.0)
            .comment(comment)
            .from_reader(Lines::new(source, comment)))
    }

    /// The header line, if it is one of text.
    fn read_header(&self, reader: &mut Reader<'_>) -> Result<ByteRecord, Problem> {
        let header = match reader.byte_headers() {
            Ok(header) => header.clone(),
            Err(error) => return Err(self.malformed(reader, &error)),
        };
        self.header_line.set(Some(reader.get_mut().line_of(0)));
        let bytes = header.as_slice();
        if header.is_empty() {
            let message = "the file is empty: it needs a header line with the names of columns";
            return Err(self.problem(None, None, message.to_owned()));
        }
        if bytes.contains(&0) || bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            let message = "the header has bytes that are no text in UTF-8, as UTF-16 has: save the file as UTF-8";
            return Err(self.problem(self.header_line.get(), None, message.to_owned()));
        }
        Ok(header)
    }

    /// The line of the next record, unless there is none.
    fn next(
        &self,
        reader: &mut Reader<'_>,
        record: &mut ByteRecord,
    ) -> Result<Option<u64>, Problem> {
        match reader.read_byte_record(record) {
            Ok(true) => {
                let byte = record.position().map_or(0, csv::Position::byte);
                Ok(Some(reader.get_mut().line_of(byte)))
            }
            Ok(false) => Ok(None),
            Err(error) => Err(self.malformed(reader, &error)),
        }
    }

    fn header(&self) -> Result<Vec<String>, Problem> {
        let mut reader = self.reader()?;
        let header = self.read_header(&mut reader)?;
        Ok(header
            .iter()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect())
    }

    fn malformed(&self, reader: &mut Reader<'_>, error: &csv::Error) -> Problem {
        let byte = error.position().map(csv::Position::byte);
        let line = byte.map(|byte| reader.get_mut().line_of(byte));
        match error.kind() {
            csv::ErrorKind::UnequalLengths {
                expected_len, len, ..
            } => self.problem(
                line,
                None,
                format!(
                    "{len} fields, but the header has {expected_len}{}",
                    if self.has_open_quote() {
                        OPEN_QUOTE
                    } else {
                        ""
                    }
                ),
            ),
            csv::ErrorKind::Io(error) => self.problem(line, None, error.to_string()),
            _ => self.problem(line, None, error.to_string()),
        }
    }

    fn places(&self, header: &ByteRecord) -> Result<Places, Problem> {
        let names: Vec<String> = header
            .iter()
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        let find = |name: &str| -> Result<usize, Problem> {
            let mut places = (0..names.len()).filter(|&place| names[place] == name);
            match (places.next(), places.next()) {
                (Some(place), None) => Ok(place),
                (Some(_), Some(_)) => Err(self.problem(
                    self.header_line.get(),
                    Some(name),
                    "stands in the header more than once".to_owned(),
                )),
                (None, _) => Err(self.problem(
                    self.header_line.get(),
                    Some(name),
                    format!(
                        "not in the header, which has: {}{}",
                        list(names.iter().map(String::as_str)),
                        self.remedy(&names, name)
                    ),
                )),
            }
        };
        let optional = |name: &Option<String>| name.as_deref().map(find).transpose();
        let roles = &self.roles;
        Ok(Places {
            target: optional(&roles.target)?,
            trials: optional(&roles.trials)?,
            failures: optional(&roles.failures)?,
            weight: optional(&roles.weight)?,
            offset: optional(&roles.offset)?,
            cluster: optional(&roles.cluster)?,
            features: roles
                .features
                .iter()
                .map(|feature| {
                    feature
                        .factors
                        .iter()
                        .map(|factor| find(&factor.column))
                        .collect()
                })
                .collect::<Result<_, _>>()?,
            percent: self
                .format
                .percent
                .iter()
                .map(|name| find(name))
                .collect::<Result<_, _>>()?,
            names,
        })
    }

    /// What to do about a name that the header lacks.
    fn remedy(&self, names: &[String], name: &str) -> String {
        if names[0].starts_with('#') && self.format.comment.is_none() {
            return "; --comment '#' leaves out lines that start so".to_owned();
        }
        // Where another character is in all of them there are more of those than fields.
        let count = |sign| names.iter().map(|name| name.matches(sign).count()).sum();
        let seen = [';', '\t', '|', ',']
            .into_iter()
            .find(|sign| *sign as u8 != self.format.separator.0 && names.len() <= count(*sign));
        match seen {
            Some('\t') => return "; it has tabs: --separator tab".to_owned(),
            Some(sign) => return format!("; it has `{sign}`: --separator '{sign}'"),
            None => {}
        }
        let mut with_comma = names.iter().filter(|of| of.contains(','));
        if let Some(whole) = with_comma.find(|of| of.split(',').any(|part| part.trim() == name)) {
            return format!("; a name with a comma stands in backquotes: `{whole}`");
        }
        if name.contains(['(', '*', ':', '^', '+']) {
            return format!("; {GRAMMAR}");
        }
        String::new()
    }

    /// The levels of categories, where they are not known yet: those of rows that are used.
    fn find_levels(&mut self) -> Result<(), Problem> {
        let unknown = |factor: &Factor| matches!(&factor.kind, Kind::Category { levels, .. } if levels.is_empty());
        let mut seen: HashMap<String, BTreeSet<String>> = HashMap::new();
        for factor in self.roles.features.iter().flat_map(|of| &of.factors) {
            if unknown(factor) {
                seen.insert(factor.column.clone(), BTreeSet::new());
            }
        }
        if seen.is_empty() {
            return Ok(());
        }
        let mut reader = self.reader()?;
        let header = self.read_header(&mut reader)?;
        let places = self.places(&header)?;
        let mut record = ByteRecord::new();
        while let Some(line) = self.next(&mut reader, &mut record)? {
            if !self.is_used(&places, &record, line)? {
                continue;
            }
            for (column, levels) in &mut seen {
                let at = places
                    .names
                    .iter()
                    .position(|name| name == column)
                    .unwrap_or(0);
                let level = self.text(&places, &record, line, at)?;
                if !levels.contains(level) {
                    levels.insert(level.to_owned());
                }
            }
        }
        drop(reader);
        let mut problem = None;
        for factor in self
            .roles
            .features
            .iter_mut()
            .flat_map(|of| &mut of.factors)
        {
            let Kind::Category { reference, levels } = &mut factor.kind else {
                continue;
            };
            let Some(seen) = seen.get(&factor.column).filter(|_| levels.is_empty()) else {
                continue;
            };
            *levels = seen.iter().cloned().collect();
            if levels.iter().all(|level| level.parse::<f64>().is_ok()) {
                let number = |level: &String| level.parse::<f64>().unwrap_or(f64::NAN);
                levels.sort_by(|a, b| number(a).total_cmp(&number(b)));
            }
            if let Some(reference) = reference {
                match levels.iter().position(|level| level == reference) {
                    Some(at) => levels[..=at].rotate_right(1),
                    None => {
                        problem = Some((
                            factor.column.clone(),
                            format!(
                                "has no level `{reference}`, but {}",
                                list(levels.iter().map(String::as_str))
                            ),
                        ));
                    }
                }
            }
            if levels.len() < 2 {
                problem = Some((
                    factor.column.clone(),
                    format!(
                        "has the level {} alone: nothing to compare",
                        list(levels.iter().map(String::as_str))
                    ),
                ));
            }
        }
        match problem {
            Some((column, message)) => Err(self.problem(None, Some(&column), message)),
            None => Ok(()),
        }
    }

    /// Whether a row has a weight, and all that is asked for.
    fn is_used(&self, places: &Places, record: &ByteRecord, line: u64) -> Result<bool, Problem> {
        let is_zero = |at: Option<usize>| -> Result<bool, Problem> {
            at.map_or(Ok(false), |at| {
                Ok(self.number(places, record, line, at)? == Some(0.0))
            })
        };
        if is_zero(places.weight)? || is_zero(places.trials)? {
            return Ok(false);
        }
        if is_zero(places.failures)? && is_zero(places.target)? {
            return Ok(false);
        }
        let of_row = [
            places.weight,
            places.target,
            places.trials,
            places.failures,
            places.offset,
            places.cluster,
        ];
        let features = places.features.iter().flatten().copied();
        let mut all = of_row.into_iter().flatten().chain(features);
        Ok(!all.any(|at| self.is_missing(&record[at])))
    }

    fn text<'r>(
        &self,
        places: &Places,
        record: &'r ByteRecord,
        line: u64,
        at: usize,
    ) -> Result<&'r str, Problem> {
        std::str::from_utf8(&record[at]).map_err(|_| {
            let column = Some(places.names[at].as_str());
            self.problem(
                Some(line),
                column,
                format!(
                    "field {} is not valid UTF-8: save the file as UTF-8",
                    at + 1
                ),
            )
        })
    }

    fn is_missing(&self, text: impl AsRef<[u8]>) -> bool {
        let is_text = |word: &String| word.as_bytes() == text.as_ref();
        self.format.na.iter().any(is_text)
    }

    /// How to leave out rows with any of the words, or nothing, that a column has in place of numbers.
    fn remedy_for_words(&self, at: usize, found: &str) -> String {
        /// More than these are no words for missing values.
        const MOST: usize = 6;
        let mut words: BTreeSet<String> = self.format.na.iter().cloned().collect();
        // Where the rest cannot be read again, that one at least.
        words.insert(found.to_owned());
        if let Ok(mut reader) = self.reader() {
            let mut record = ByteRecord::new();
            while words.len() <= MOST && matches!(self.next(&mut reader, &mut record), Ok(Some(_)))
            {
                let text = record.get(at).and_then(|of| std::str::from_utf8(of).ok());
                let is_number = |text: &str| {
                    let value = text.parse::<f64>();
                    has_digit(text) || value.is_ok_and(f64::is_finite)
                };
                words.extend(text.filter(|of| !is_number(of)).map(str::to_owned));
            }
        }
        if words.len() > MOST {
            return String::new();
        }
        if words.iter().any(|word| word.contains([',', '\''])) {
            return "; --na cannot name a word with a comma or a quote: empty such fields, and --na '' leaves their rows out"
                .to_owned();
        }
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        format!("; --na '{}' leaves such rows out", words.join(","))
    }

    /// Whether the file has an odd number of quotes.
    fn has_open_quote(&self) -> bool {
        let bytes = match (&self.bytes, &self.was_read) {
            (Some(bytes), _) => Ok(bytes.clone()),
            (None, Some(_)) => return false,
            (None, None) => std::fs::read(&self.path),
        };
        bytes.is_ok_and(|bytes| bytes.iter().filter(|byte| **byte == b'"').count() % 2 == 1)
    }

    /// None if it is missing.
    fn number(
        &self,
        places: &Places,
        record: &ByteRecord,
        line: u64,
        at: usize,
    ) -> Result<Option<f64>, Problem> {
        let text = self.text(places, record, line, at)?;
        if self.is_missing(text) {
            return Ok(None);
        }
        let is_percent = places.percent.contains(&at);
        let bare = if is_percent {
            text.strip_suffix('%').unwrap_or(text).trim_end()
        } else {
            text
        };
        let parsed = if self.format.decimal_comma {
            // A point would stand between thousands.
            let exchanged = |of| match of {
                ',' => '.',
                '.' => ',',
                of => of,
            };
            bare.chars().map(exchanged).collect::<String>().parse()
        } else {
            bare.parse::<f64>()
        };
        let message = match parsed {
            Ok(value) if value.is_finite() => {
                return Ok(Some(if is_percent { value / 100.0 } else { value }));
            }
            Ok(_) => format!("`{text}` is not a finite number"),
            Err(_) if text.is_empty() => {
                format!(
                    "empty, where a number is needed{}",
                    self.remedy_for_words(at, text)
                )
            }
            Err(_) => {
                let name = &places.names[at];
                let start: String = text.chars().take(40).collect();
                let more = if start.len() < text.len() { "..." } else { "" };
                let mut message = format!("`{start}{more}` is not a number");
                if text.contains('\n') && self.has_open_quote() {
                    message += OPEN_QUOTE;
                } else if text.ends_with('%') {
                    message += &format!("; --percent '{name}' reads it as one");
                } else if has_digit(text)
                    && (text.contains(',') || self.format.decimal_comma && text.contains('.'))
                {
                    message += if !self.format.decimal_comma && text.matches(',').count() == 1 {
                        "; --decimal-comma reads it as one"
                    } else {
                        "; signs between thousands are not read"
                    };
                } else if !has_digit(text) {
                    message += &self.remedy_for_words(at, text);
                    let is_feature = places.features.iter().flatten().any(|of| *of == at);
                    if is_feature {
                        message += &format!("; C({name}) takes words as categories");
                    }
                }
                message
            }
        };
        Err(self.problem(Some(line), Some(&places.names[at]), message))
    }

    /// Reads the file in chunks.
    fn read<E: From<Problem>>(
        &mut self,
        visit: &mut dyn FnMut(Chunk) -> Result<(), E>,
    ) -> Result<(), E> {
        let (mut unweighted, mut missing) = (0, 0);
        let mut reader = self.reader()?;
        let header = self.read_header(&mut reader)?;
        let places = self.places(&header)?;
        let width = self.names().len() - self.level_count().saturating_sub(1) as usize;
        let lookups = self.lookups();
        let new_chunk = |first_row| Chunk {
            first_row,
            columns: vec![Vec::new(); width],
            ..Chunk::default()
        };
        let mut clusters: HashMap<Vec<u8>, u64> = HashMap::new();
        let (mut chunk, mut used) = (new_chunk(0), 0);
        let mut record = ByteRecord::new();
        let (mut row, mut level) = (Vec::new(), 0);
        while let Some(line) = self.next(&mut reader, &mut record)? {
            let number = |at: usize| self.number(&places, &record, line, at);
            let optional = |at: Option<usize>, none: f64| at.map_or(Ok(Some(none)), number);
            let wrong = |at: Option<usize>, message: String| {
                let column = at.map(|at| places.names[at].as_str());
                Err(E::from(self.problem(Some(line), column, message)))
            };
            let weight = optional(places.weight, 1.0)?;
            if weight == Some(0.0) {
                unweighted += 1;
                continue;
            }
            if weight.is_some_and(|weight| weight < 0.0) {
                let weight = weight.unwrap_or_default();
                return wrong(
                    places.weight,
                    format!("weight {} is negative", shown(weight)),
                );
            }
            let trials = optional(places.trials, 1.0)?;
            if trials == Some(0.0) {
                unweighted += 1;
                continue;
            }
            let (target, failures) = (
                optional(places.target, 0.0)?,
                optional(places.failures, 0.0)?,
            );
            let offset = optional(places.offset, 0.0)?;
            row.clear();
            let design = (&mut row, &mut level);
            let complete = self.design_row(&places, &lookups, &record, line, design)?
                && !places
                    .cluster
                    .is_some_and(|at| self.is_missing(&record[at]));
            let (Some(weight), Some(mut trials), Some(target), Some(failures), Some(offset), true) =
                (weight, trials, target, failures, offset, complete)
            else {
                missing += 1;
                continue;
            };
            if places.failures.is_some() {
                if failures < 0.0 {
                    return wrong(
                        places.failures,
                        format!("count {} is negative", shown(failures)),
                    );
                }
                trials = target + failures;
                if trials == 0.0 {
                    unweighted += 1;
                    continue;
                }
            }
            let counted = places.trials.is_some() || places.failures.is_some();
            if trials < 0.0 {
                return wrong(
                    places.trials,
                    format!("number of trials {} is negative", shown(trials)),
                );
            }
            if !(0.0..=trials).contains(&target) {
                let message = if counted {
                    format!(
                        "count {} is outside [0, {}], the number of trials",
                        shown(target),
                        shown(trials)
                    )
                } else {
                    let remedy = if target > 1.0 && target <= 100.0 {
                        "; --percent reads percentages, --trials or --failures counts"
                    } else {
                        ""
                    };
                    format!("target {} is outside [0, 1]{remedy}", shown(target))
                };
                return wrong(places.target, message);
            }
            chunk.lines.push(line);
            chunk.targets.push(target);
            chunk.weights.push(weight);
            if counted {
                chunk.trials.push(trials);
            }
            if places.offset.is_some() {
                chunk.offset.push(offset);
            }
            if let Some(at) = places.cluster {
                let next = clusters.len() as u64;
                chunk.clusters.push(match clusters.get(&record[at]) {
                    Some(cluster) => *cluster,
                    None => *clusters.entry(record[at].to_vec()).or_insert(next),
                });
            }
            if self.roles.levels_of.is_some() {
                chunk.levels.push(level);
            }
            for (column, value) in chunk.columns.iter_mut().zip(&row) {
                column.push(*value);
            }
            used += 1;
            if chunk.rows() == CHUNK {
                visit(std::mem::replace(&mut chunk, new_chunk(used)))?;
            }
        }
        if chunk.rows() > 0 {
            visit(chunk)?;
        }
        drop(reader);
        (self.unweighted_rows, self.missing_rows) = (unweighted, missing);
        Ok(())
    }

    /// The places of the levels of each factor of each feature.
    fn lookups(&self) -> Vec<Vec<HashMap<&str, u32>>> {
        let features = self.roles.features.iter();
        features
            .map(|feature| feature.factors.iter().map(Factor::lookup).collect())
            .collect()
    }

    /// The row of the design, and the level that has no column; whether nothing is missing.
    fn design_row(
        &self,
        places: &Places,
        lookups: &[Vec<HashMap<&str, u32>>],
        record: &ByteRecord,
        line: u64,
        (row, level_of_row): (&mut Vec<f64>, &mut u32),
    ) -> Result<bool, Problem> {
        let features = self
            .roles
            .features
            .iter()
            .zip(&places.features)
            .zip(lookups);
        for (place, ((feature, columns), lookups)) in features.enumerate() {
            let start = row.len();
            row.push(1.0);
            for ((factor, &at), lookup) in feature.factors.iter().zip(columns).zip(lookups) {
                let wrong = |message| self.problem(Some(line), Some(&places.names[at]), message);
                match &factor.kind {
                    Kind::Power { function, power } => {
                        let Some(value) = self.number(places, record, line, at)? else {
                            return Ok(false);
                        };
                        let undefined = match function {
                            Function::Identity => false,
                            Function::Ln => value <= 0.0,
                            Function::Sqrt => value < 0.0,
                        };
                        if undefined {
                            let of = function.name();
                            return Err(wrong(format!(
                                "{of}({}) is undefined, in `{}`",
                                shown(value),
                                factor.name
                            )));
                        }
                        let base = match function {
                            Function::Identity => value,
                            // Not the platform's: the same bits everywhere.
                            Function::Ln => libm::log(value),
                            Function::Sqrt => value.sqrt(),
                        };
                        let result = (1..*power).fold(base, |product, _| product * base);
                        if !result.is_finite() {
                            return Err(wrong(format!(
                                "`{}` overflows at {}",
                                factor.name,
                                shown(value)
                            )));
                        }
                        row[start..].iter_mut().for_each(|x| *x *= result);
                    }
                    Kind::Category { levels, .. } => {
                        let level = self.text(places, record, line, at)?;
                        if self.is_missing(level) {
                            return Ok(false);
                        }
                        let Some(&found) = lookup.get(level) else {
                            let known = list(levels.iter().map(String::as_str));
                            return Err(wrong(format!(
                                "level `{level}` is new: the model has {known}"
                            )));
                        };
                        if self.roles.levels_of == Some(place) {
                            row.truncate(start);
                            *level_of_row = found;
                            continue;
                        }
                        let found = found as usize;
                        let before: Vec<f64> = row.drain(start..).collect();
                        for x in before {
                            row.extend(
                                (1..levels.len()).map(|of| if of == found { x } else { 0.0 }),
                            );
                        }
                    }
                }
            }
        }
        Ok(true)
    }

    /// Fits the model, in as many passes as it needs; `before` is told of each pass.
    pub fn fit(
        &mut self,
        model: &Model,
        partitions: usize,
        before: &mut dyn FnMut(usize),
    ) -> Result<Fit, Problem> {
        let model = &model.clone().levels(self.level_count());
        let columns = self.names().len() - self.level_count().saturating_sub(1) as usize;
        let mut solver = model
            .solver(columns)
            .map_err(|error| self.problem(None, None, error.to_string()))?;
        let mut number = 0;
        loop {
            number += 1;
            before(number);
            let task = solver.task().clone();
            let mut state = task.start();
            let evaluated = self.pass(&mut |chunk| {
                let parts = partitions.clamp(1, chunk.rows().max(1));
                let length = chunk.rows().div_ceil(parts);
                let of_chunk = chunk.with_data(|data| {
                    // The last part first: their order is no matter.
                    (0..parts).rev().try_for_each(|part| {
                        let rows = part * length..(part + 1) * length;
                        state.merge(&model.evaluate(&task, &data.part(rows))?)
                    })
                });
                of_chunk.map_err(Error::from).flatten().map_err(|error| {
                    let line = match error {
                        Error::Value { row, .. } => chunk.line_of(row),
                        _ => None,
                    };
                    Refusal::Fit(error, line)
                })
            });
            match evaluated {
                Ok(()) => {}
                Err(Refusal::File(problem)) => return Err(problem),
                Err(Refusal::Fit(error, line)) => return Err(self.explain(&error, line)),
            }
            match solver.step(&state) {
                Ok(Step::Done(fit)) => return Ok(*fit),
                Ok(Step::Continue) => {}
                Err(error) => {
                    let line = match error {
                        Error::Separation { first_row, .. } => self.line_of(first_row)?,
                        _ => None,
                    };
                    return Err(self.explain(&error, line));
                }
            }
        }
    }

    /// Penalties of a path, judged by cross-validation of all rows.
    pub fn cross_validate(
        &mut self,
        model: &Model,
        lasso_share: f64,
        folds: usize,
    ) -> Result<PenaltyPath, Problem> {
        let mut all = Chunk {
            columns: vec![Vec::new(); self.names().len()],
            ..Chunk::default()
        };
        self.pass(&mut |chunk| -> Result<(), Problem> {
            all.append(chunk);
            Ok(())
        })?;
        let found = all.with_data(|data| cross_validate(model, lasso_share, &data, folds, LAMBDAS));
        found.map_err(Error::from).flatten().map_err(|error| {
            let line = match error {
                Error::Value { row, .. } => all.line_of(row),
                _ => None,
            };
            self.explain(&error, line)
        })
    }

    fn line_of(&mut self, row: u64) -> Result<Option<u64>, Problem> {
        let mut found = None;
        self.pass(&mut |chunk| -> Result<(), Problem> {
            found = chunk.line_of(row).or(found);
            Ok(())
        })?;
        Ok(found)
    }

    /// The column and the name of a level that has no column.
    fn level(&self, level: u32) -> (Option<&str>, &str) {
        let feature = self.roles.levels_of.map(|at| &self.roles.features[at]);
        match feature.map(|of| &of.factors[..]) {
            Some(
                [
                    Factor {
                        column,
                        kind: Kind::Category { levels, .. },
                        ..
                    },
                ],
            ) => (Some(column), levels.get(level as usize).map_or("", |of| of)),
            _ => (None, ""),
        }
    }

    /// The error in the words of the file.
    pub fn explain(&self, error: &Error, line: Option<u64>) -> Problem {
        let names = self.names();
        let column = |design: usize| self.column_of(design);
        match error {
            Error::Collinear {
                column: of,
                constant,
                combination,
            } => {
                let mut terms = Vec::new();
                if *constant != 0.0 {
                    terms.push(format!("{constant:.6} * const"));
                }
                let products = combination.iter().take(MOST_NAMES);
                terms.extend(products.map(|(of, share)| format!("{share:.6} * {}", names[*of])));
                if combination.len() > MOST_NAMES {
                    terms.push(format!("{} more terms", combination.len() - MOST_NAMES));
                }
                if terms.is_empty() {
                    terms.push("0".to_owned());
                }
                let message = format!(
                    "singular design: in every row `{}` = {}; leave one of them out",
                    names[*of],
                    terms.join(" + ")
                );
                self.problem(None, column(*of), message)
            }
            Error::Separation { columns, rows, .. } => {
                let growing = list(columns.iter().map(|of| names[*of].as_str()));
                let message = format!(
                    "separation: the features predict the targets of {rows} rows, this one first, as exactly 0 or 1, so \
                     that the coefficients of {growing} grow without limit and no finite fit exists; --ridge 0.01 or \
                     --firth gives one, or leave the feature out"
                );
                self.problem(line, columns.first().and_then(|of| column(*of)), message)
            }
            Error::LevelSeparated {
                level,
                target,
                rows,
            } => {
                let (column, name) = self.level(*level);
                let message = format!(
                    "separation: the target of all {rows} rows of level `{name}` is {target}, so that its coefficient grows without \
                     limit and no finite fit exists; --ridge 0.01 gives one, or leave these rows out"
                );
                self.problem(None, column, message)
            }
            Error::NoConvergence { column: of, .. } => {
                let message = match of {
                    Some(of) => format!("{error} (`{}`)", names[*of]),
                    None => error.to_string(),
                };
                self.problem(None, of.and_then(column), message)
            }
            Error::TooFewClusters { clusters } => {
                let message = format!(
                    "every row has the same cluster: {clusters} in all, and clustered errors need at least 2"
                );
                self.problem(None, self.roles.cluster.as_deref(), message)
            }
            Error::TooSmall { column: of, range } => {
                let message = format!(
                    "`{}` varies by {range:e} alone, which is too small (2^-400 is the limit): scale it",
                    names[*of]
                );
                self.problem(None, column(*of), message)
            }
            Error::WeightsTooSmall { .. } => {
                self.problem(None, self.roles.weight.as_deref(), error.to_string())
            }
            Error::OneClass { .. } => {
                let message = format!("{error}; --firth gives one");
                self.problem(None, self.roles.target.as_deref(), message)
            }
            Error::Value {
                of,
                value,
                expected,
                ..
            } => {
                let name = match of {
                    Place::Feature(of) => column(*of),
                    Place::Target => self.roles.target.as_deref(),
                    Place::Weight => self.roles.weight.as_deref(),
                    _ => None,
                };
                let message = match of {
                    Place::Feature(_) => format!("{} is not {expected}", shown(*value)),
                    _ => format!("{of} {} is not {expected}", shown(*value)),
                };
                self.problem(line, name, message)
            }
            other => self.problem(line, None, other.to_string()),
        }
    }
}

/// Why a pass ended early: the file, or the fit, with the line.
enum Refusal {
    File(Problem),
    Fit(Error, Option<u64>),
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::File(problem)
    }
}

impl Chunk {
    fn append(&mut self, other: &Self) {
        self.lines.extend(&other.lines);
        for (column, of) in self.columns.iter_mut().zip(&other.columns) {
            column.extend(of);
        }
        self.targets.extend(&other.targets);
        self.trials.extend(&other.trials);
        self.weights.extend(&other.weights);
        self.offset.extend(&other.offset);
        self.clusters.extend(&other.clusters);
        self.levels.extend(&other.levels);
    }

    /// Of a row of the data set, if it is one of these.
    pub fn line_of(&self, row: u64) -> Option<u64> {
        let row = row.checked_sub(self.first_row)?;
        self.lines.get(row as usize).copied()
    }

    /// `visit` with the rows as the library takes them.
    fn with_data<R>(&self, visit: impl FnOnce(Data<'_, f64>) -> R) -> Result<R, soft_bce::Error> {
        self.with_features(|features| {
            let mut data = Data::new(features, &self.targets)
                .weights(&self.weights)
                .first_row(self.first_row);
            if !self.trials.is_empty() {
                data = data.trials(&self.trials);
            }
            if !self.offset.is_empty() {
                data = data.offset(&self.offset);
            }
            if !self.clusters.is_empty() {
                data = data.clusters(&self.clusters);
            }
            if let Some(levels) = self.levels() {
                data = data.levels(levels);
            }
            visit(data)
        })
    }
}

impl Factor {
    /// The places of levels.
    fn lookup(&self) -> HashMap<&str, u32> {
        match &self.kind {
            Kind::Category { levels, .. } => levels.iter().map(String::as_str).zip(0..).collect(),
            Kind::Power { .. } => HashMap::new(),
        }
    }
}

impl Feature {
    /// How many coefficients it has.
    pub fn width(&self) -> usize {
        let of_factor = |factor: &Factor| match &factor.kind {
            Kind::Power { .. } => 1,
            Kind::Category { levels, .. } => levels.len().saturating_sub(1),
        };
        self.factors.iter().map(of_factor).product()
    }

    /// One, or one for each level, or for each pair of levels.
    pub fn names(&self) -> Vec<String> {
        let mut names = vec![String::new()];
        for factor in &self.factors {
            let of_factor: Vec<String> = match &factor.kind {
                Kind::Power { .. } => vec![factor.name.clone()],
                Kind::Category { levels, .. } => {
                    let levels = levels.iter().skip(1);
                    levels
                        .map(|level| format!("{}={level}", factor.column))
                        .collect()
                }
            };
            names = names
                .iter()
                .flat_map(|before| {
                    let joint = if before.is_empty() { "" } else { ":" };
                    of_factor
                        .iter()
                        .map(move |name| format!("{before}{joint}{name}"))
                })
                .collect();
        }
        names
    }
}

/// The features of a list: a column of exactly that name comes first.
///
/// # Errors
/// What is wrong with it, in words.
fn parse_features(text: &str, header: &[String]) -> Result<Vec<Feature>, String> {
    let mut features = Vec::new();
    for item in split(text, ',')? {
        if header.iter().any(|name| name == item) {
            features.push(Feature {
                factors: vec![parse_factor(item, header)?],
            });
            continue;
        }
        let crossed = split(item, '*')?;
        if crossed.len() > MOST_CROSSED {
            return Err(format!(
                "`{item}`: at most {MOST_CROSSED} names may be crossed"
            ));
        }
        // Each set of them: a*b is a, b and a:b.
        for set in 1..1_usize << crossed.len() {
            let mut factors = Vec::new();
            for (at, of) in crossed.iter().enumerate() {
                if set >> at & 1 == 1 {
                    for factor in split(of, ':')? {
                        factors.push(parse_factor(factor, header)?);
                    }
                }
            }
            features.push(Feature { factors });
        }
    }
    Ok(features)
}

/// The items between separators that are neither quoted nor in parentheses.
fn split(text: &str, separator: char) -> Result<Vec<&str>, String> {
    let (mut items, mut start, mut depth, mut quote) = (Vec::new(), 0, 0, None);
    for (at, of) in text.char_indices() {
        match (quote, of) {
            (Some(open), _) if of == open => quote = None,
            (Some(_), _) => {}
            (None, '`' | '"') => quote = Some(of),
            (None, '(') => depth += 1,
            (None, ')') => depth -= 1,
            _ if of == separator && depth == 0 => {
                items.push(text[start..at].trim());
                start = at + of.len_utf8();
            }
            _ => {}
        }
    }
    if quote.is_some() || depth != 0 {
        return Err(format!(
            "`{text}`: a quote or a parenthesis is not closed; {GRAMMAR}"
        ));
    }
    items.push(text[start..].trim());
    if items.iter().any(|item| item.is_empty()) {
        return Err(format!("`{text}`: a name is missing; {GRAMMAR}"));
    }
    Ok(items)
}

fn parse_factor(text: &str, header: &[String]) -> Result<Factor, String> {
    let is_column = |name: &str| header.iter().any(|column| column == name);
    let plain = |column: &str, function, power| Factor {
        name: text.to_owned(),
        column: unquoted(column).to_owned(),
        kind: Kind::Power { function, power },
    };
    if is_column(text) {
        return Ok(plain(text, Function::Identity, 1));
    }
    let inner = |text: &str, function: &str| -> Option<String> {
        let rest = text.strip_prefix(function)?.strip_prefix('(')?;
        Some(rest.strip_suffix(')')?.trim().to_owned())
    };
    if let Some(inner) = inner(text, "C") {
        let parts = split(&inner, ',')?;
        let (column, reference) = match parts[..] {
            [column] => (column, None),
            [column, reference] => (column, Some(unquoted(reference).to_owned())),
            _ => return Err(format!("`{text}`: C(NAME) or C(NAME, LEVEL)")),
        };
        return Ok(Factor {
            name: text.to_owned(),
            column: unquoted(column).to_owned(),
            kind: Kind::Category {
                reference,
                levels: Vec::new(),
            },
        });
    }
    let (base, power) = match text.rsplit_once('^') {
        Some((base, power)) if !text.ends_with(['`', '"']) => match power.trim().parse::<u8>() {
            Ok(power) if power > 0 => (base.trim(), i32::from(power)),
            _ => {
                return Err(format!(
                    "`{text}`: a power is a number from 1 to 255; {GRAMMAR}"
                ));
            }
        },
        _ => (text, 1),
    };
    if !is_column(base) {
        for (name, function) in [
            ("ln", Function::Ln),
            ("log", Function::Ln),
            ("sqrt", Function::Sqrt),
        ] {
            if let Some(column) = inner(base, name) {
                return Ok(plain(&column, function, power));
            }
        }
    }
    Ok(plain(base, Function::Identity, power))
}

fn unquoted(name: &str) -> &str {
    for quote in ['`', '"'] {
        if let Some(inner) = name
            .strip_prefix(quote)
            .and_then(|rest| rest.strip_suffix(quote))
        {
            return inner;
        }
    }
    name
}

/// With an exponent where there would be many zeros.
pub fn shown(value: f64) -> String {
    let shown = format!("{value:?}");
    shown.strip_suffix(".0").unwrap_or(&shown).to_owned()
}

fn list<'a>(mut names: impl Iterator<Item = &'a str>) -> String {
    let shown = names.by_ref().take(MOST_NAMES);
    let shown: Vec<String> = shown.map(|name| format!("`{name}`")).collect();
    match names.count() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}
