//! The table for people and the document for programs.

use serde::Serialize;

/// One figure over its runs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Figure {
    /// What is measured.
    pub(crate) name: String,
    /// Its unit.
    pub(crate) unit: &'static str,
    /// The median of the runs.
    pub(crate) value: f64,
    /// The smallest and the largest.
    pub(crate) spread: (f64, f64),
    /// What is aimed at, if anything is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<Goal>,
    /// Every run.
    pub(crate) runs: Vec<f64>,
}

/// What is aimed at.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Goal {
    /// As much or more.
    AtLeast(f64),
    /// Less.
    Below(f64),
}

impl Goal {
    fn met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(goal) => value >= goal,
            Self::Below(goal) => value < goal,
        }
    }
}

impl Figure {
    /// A figure of one run or several.
    pub(crate) fn new(name: impl Into<String>, unit: &'static str, runs: &[f64]) -> Self {
        let mut sorted = runs.to_vec();
        sorted.sort_by(f64::total_cmp);
        let value = sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN);
        let spread = (sorted.first().copied().unwrap_or(value), sorted.last().copied().unwrap_or(value));
        Self { name: name.into(), unit, value, spread, goal: None, runs: runs.to_vec() }
    }

    /// The same with a goal.
    pub(crate) fn aim(self, goal: Goal) -> Self {
        Self { goal: Some(goal), ..self }
    }

    fn row(&self) -> [String; 4] {
        let spread = match self.runs.len() {
            0 | 1 => String::new(),
            runs => format!("{}–{} of {runs}", number(self.spread.0), number(self.spread.1)),
        };
        let goal = self.goal.map_or_else(String::new, |goal| {
            let (sign, aim) = match goal {
                Goal::AtLeast(aim) => ('≥', aim),
                Goal::Below(aim) => ('<', aim),
            };
            format!("{sign} {}  {}", number(aim), if goal.met(self.value) { "met" } else { "MISSED" })
        });
        [self.name.clone(), format!("{} {}", number(self.value), self.unit), spread, goal]
    }
}

/// With as many decimals as mean something.
fn number(value: f64) -> String {
    if value.abs() >= 100.0 {
        let digits = format!("{value:.0}");
        let (sign, digits) = digits.strip_prefix('-').map_or(("", digits.as_str()), |digits| ("-", digits));
        let mut grouped = String::new();
        for (position, digit) in digits.chars().enumerate() {
            if position > 0 && (digits.len() - position) % 3 == 0 {
                grouped.push(',');
            }
            grouped.push(digit);
        }
        format!("{sign}{grouped}")
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else {
        format!("{value:.2}")
    }
}

/// The table.
pub(crate) fn table(figures: &[Figure]) -> String {
    let header = ["figure", "median", "spread", "goal"].map(str::to_owned);
    let rows: Vec<[String; 4]> = std::iter::once(header).chain(figures.iter().map(Figure::row)).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    for (number, [name, value, spread, goal]) in rows.iter().enumerate() {
        let line = format!(
            "{name:<w0$}  {value:>w1$}  {spread:>w2$}  {goal:<w3$}",
            w0 = widths[0],
            w1 = widths[1],
            w2 = widths[2],
            w3 = widths[3]
        );
        text.push_str(line.trim_end());
        text.push('\n');
        if number == 0 {
            text.push_str(&"─".repeat(widths.iter().sum::<usize>() + 6));
            text.push('\n');
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_is_the_median_with_its_spread() {
        let figure = Figure::new("sends", "/s", &[5_210.0, 4_990.0, 6_000.0]).aim(Goal::AtLeast(5_000.0));
        assert_eq!(figure.row(), ["sends", "5,210 /s", "4,990–6,000 of 3", "≥ 5,000  met"]);
        let slow = Figure::new("p99", "ms", &[50.0]).aim(Goal::Below(50.0));
        assert_eq!(slow.row(), ["p99", "50.0 ms", "", "< 50.0  MISSED"]);
    }

    #[test]
    fn numbers_have_as_many_decimals_as_mean_something() {
        let numbers = [0.123, 1.5, 12.34, 123.4, 1_234.5, -1_234_567.0, 999.6].map(number);
        assert_eq!(numbers, ["0.12", "1.50", "12.3", "123", "1,234", "-1,234,567", "1,000"]);
    }

    #[test]
    fn a_table_lines_up() {
        let text = table(&[Figure::new("a", "ms", &[1.0]), Figure::new("longer", "MB", &[2.0])]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[2].find("1.00"), lines[3].find("2.00"));
    }
}
