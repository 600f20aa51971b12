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

    fn cells(&self) -> [String; 2] {
        let spread = match self.runs.len() {
            0 | 1 => String::new(),
            runs => format!("{}–{} of {runs}", number(self.spread.0), number(self.spread.1)),
        };
        [format!("{} {}", number(self.value), self.unit), spread]
    }

    /// The goal, and whether it is met: by each of several in their order.
    fn aimed_at(figures: &[Option<&Self>]) -> String {
        let Some(goal) = figures.iter().flatten().find_map(|figure| figure.goal) else { return String::new() };
        let (sign, aim) = match goal {
            Goal::AtLeast(aim) => ('≥', aim),
            Goal::Below(aim) => ('<', aim),
        };
        let verdict = |figure: &&Self| if goal.met(figure.value) { "met" } else { "MISSED" };
        let verdicts: Vec<&str> = figures.iter().flatten().map(verdict).collect();
        format!("{sign} {}  {}", number(aim), verdicts.join(", "))
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

/// One table of what was measured on each stack, by its name: a row a figure, with a median and a spread for each stack.
pub(crate) fn table(stacks: &[(&str, &[Figure])]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for figure in stacks.iter().flat_map(|(_, figures)| *figures) {
        if !names.contains(&figure.name.as_str()) {
            names.push(&figure.name);
        }
    }
    let mut header = vec!["figure".to_owned()];
    for (stack, _) in stacks {
        header.extend(if stacks.len() == 1 {
            ["median".to_owned(), "spread".to_owned()]
        } else {
            [(*stack).to_owned(), "spread".to_owned()]
        });
    }
    header.push("goal".to_owned());
    let row = |name: &str| {
        let of = |figures: &'_ [Figure]| figures.iter().position(|figure| figure.name == name);
        let found: Vec<Option<&Figure>> =
            stacks.iter().map(|(_, figures)| of(figures).map(|index| &figures[index])).collect();
        let mut row = vec![name.to_owned()];
        row.extend(found.iter().flat_map(|figure| figure.map_or_else(Default::default, Figure::cells)));
        row.push(Figure::aimed_at(&found));
        row
    };
    let rows: Vec<Vec<String>> = std::iter::once(header).chain(names.into_iter().map(row)).collect();
    let columns = 2 + 2 * stacks.len();
    let widths: Vec<usize> =
        (0..columns).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0)).collect();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| {
            // Words begin, figures end, at the same place.
            if column == 0 || column + 1 == columns { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        text.push_str(cells.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
        if number == 0 {
            text.push_str(&"─".repeat(widths.iter().sum::<usize>() + 2 * (columns - 1)));
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
        assert_eq!(figure.cells(), ["5,210 /s", "4,990–6,000 of 3"]);
        let slow = Figure::new("sends", "/s", &[50.0]);
        assert_eq!(slow.cells(), ["50.0 /s", ""]);
        assert_eq!(Figure::aimed_at(&[Some(&figure), Some(&slow)]), "≥ 5,000  met, MISSED");
        assert_eq!(Figure::aimed_at(&[Some(&slow), None]), "");
    }

    #[test]
    fn numbers_have_as_many_decimals_as_mean_something() {
        let numbers = [0.123, 1.5, 12.34, 123.4, 1_234.5, -1_234_567.0, 999.6].map(number);
        assert_eq!(numbers, ["0.12", "1.50", "12.3", "123", "1,234", "-1,234,567", "1,000"]);
    }

    #[test]
    fn a_table_lines_up_and_has_every_figure_of_every_stack() {
        let one = [Figure::new("a", "ms", &[1.0]), Figure::new("longer", "MB", &[2.0])];
        let other = [Figure::new("longer", "MB", &[3.0]), Figure::new("b", "ms", &[4.0])];
        let text = table(&[("one", &one)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 4);
        assert_eq!(lines[2].find("1.00"), lines[3].find("2.00"));
        let text = table(&[("one", &one), ("other", &other)]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5);
        assert_eq!(lines[3].find("3.00"), lines[4].find("4.00"));
        assert!(lines[3].contains("2.00") && !lines[4].contains("1.00"));
    }
}
