//! The table and the picture of `docs/performance.md`.

use std::fmt::Write;

use crate::rows::{Row, What};
use crate::stage::Start;

/// All rows, measured once, with so many credentials there.
pub struct Round {
    /// How many credentials.
    pub size: usize,
    /// The rows.
    pub rows: Vec<Row>,
}

/// A promise of the product: a row beside a limit.
struct Promise {
    what: What,
    limit: What,
    target: f64,
    measure: Measure,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Measure {
    /// Answers a second, at least so many of the limit's.
    Rate,
    /// Median latency, at most so many of the limit's.
    Latency,
}

const PROMISES: [Promise; 8] = [
    promise(What::Renderings, What::DatabaseReads, 0.25, Measure::Rate),
    promise(What::Renderings, What::Health, 0.15, Measure::Rate),
    promise(
        What::SharedRenderings,
        What::DatabaseReads,
        0.25,
        Measure::Rate,
    ),
    promise(What::SharedRenderings, What::Health, 0.15, Measure::Rate),
    promise(What::NotModified, What::Health, 0.5, Measure::Rate),
    promise(What::Writes, What::DatabaseWrites, 0.3, Measure::Rate),
    promise(What::SharedWrites, What::DatabaseWrites, 0.3, Measure::Rate),
    promise(
        What::OneRendering,
        What::OneDatabaseWrite,
        3.0,
        Measure::Latency,
    ),
];

const fn promise(what: What, limit: What, target: f64, measure: Measure) -> Promise {
    Promise {
        what,
        limit,
        target,
        measure,
    }
}

impl Promise {
    fn name(&self) -> String {
        let limit = self.limit.text();
        format!(
            "{} / {}",
            self.what.text(),
            limit.split(' ').next().unwrap_or(limit)
        )
    }

    fn ratio(&self, round: &Round) -> Option<f64> {
        let of = |what| round.rows.iter().find(|row| row.what == what);
        let (row, limit) = (of(self.what)?.load, of(self.limit)?.load);
        Some(match self.measure {
            Measure::Rate => row.rate / limit.rate,
            Measure::Latency => row.median.as_secs_f64() / limit.median.as_secs_f64(),
        })
    }

    fn is_kept(&self, ratio: f64) -> bool {
        match self.measure {
            Measure::Rate => ratio >= self.target,
            Measure::Latency => ratio <= self.target,
        }
    }
}

/// All that was measured.
pub struct Report {
    rounds: Vec<Round>,
    sizes: Vec<usize>,
    start: Start,
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

impl Report {
    /// Of all rounds.
    pub fn of(rounds: Vec<Round>, start: Start) -> Self {
        let mut sizes: Vec<usize> = rounds.iter().map(|round| round.size).collect();
        sizes.dedup();
        Self {
            rounds,
            sizes,
            start,
        }
    }

    fn at(&self, size: usize) -> impl Iterator<Item = &Round> {
        self.rounds.iter().filter(move |round| round.size == size)
    }

    fn of_rows(&self, size: usize, what: What, of: impl Fn(&Row) -> f64) -> f64 {
        let rows = self.at(size).flat_map(|round| &round.rows);
        median(rows.filter(|row| row.what == what).map(of).collect())
    }

    fn ratio(&self, size: usize, promise: &Promise) -> f64 {
        median(
            self.at(size)
                .filter_map(|round| promise.ratio(round))
                .collect(),
        )
    }

    /// The tables.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        let _ = self.write_ratios(&mut text);
        for size in &self.sizes {
            let _ = self.write_rows(&mut text, *size);
        }
        let Start {
            ready,
            idle_kib,
            loaded_kib,
        } = self.start;
        let _ = writeln!(
            text,
            "\nWith all of them there, `regcred serve` answers `/readyz` {:.0} ms after it was started, and holds {:.0} MiB then, {:.0} MiB after all rows.",
            ready.as_secs_f64() * 1e3,
            idle_kib as f64 / 1024.0,
            loaded_kib as f64 / 1024.0,
        );
        text
    }

    fn write_ratios(&self, text: &mut String) -> std::fmt::Result {
        write!(text, "| ratio | promised |")?;
        for size in &self.sizes {
            write!(text, " {} credentials |", thousands(*size))?;
        }
        writeln!(text, "\n| --- | --- |{}", " --- |".repeat(self.sizes.len()))?;
        for promise in &PROMISES {
            let sign = match promise.measure {
                Measure::Rate => "at least",
                Measure::Latency => "at most",
            };
            write!(text, "| {} | {sign} {} |", promise.name(), promise.target)?;
            for size in &self.sizes {
                let ratio = self.ratio(*size, promise);
                let kept = if promise.is_kept(ratio) {
                    ""
                } else {
                    ", not reached"
                };
                write!(text, " {ratio:.2}{kept} |")?;
            }
            writeln!(text)?;
        }
        Ok(())
    }

    fn write_rows(&self, text: &mut String, size: usize) -> std::fmt::Result {
        writeln!(
            text,
            "\n{} credentials:\n\n| what | a second | median | 99 % within | CPU of regcred | CPU of PostgreSQL |\n| --- | --- | --- | --- | --- | --- |",
            thousands(size)
        )?;
        let rows = self.at(size).next().map(|round| round.rows.as_slice());
        for row in rows.unwrap_or_default() {
            let of = |of: &dyn Fn(&Row) -> f64| self.of_rows(size, row.what, of);
            let rate = of(&|row| row.load.rate).round() as usize;
            let median = of(&|row| row.load.median.as_secs_f64() * 1e3);
            let p99 = of(&|row| row.load.p99.as_secs_f64() * 1e3);
            let p99 = if p99 > 0.0 {
                format!("{p99:.2} ms")
            } else {
                String::new()
            };
            let own = of(&|row| row.regcred_micros);
            let own = if row.what.is_of_regcred() {
                format!("{own:.0} µs")
            } else {
                String::new()
            };
            let database = of(&|row| row.database_micros);
            writeln!(
                text,
                "| {} | {} | {median:.2} ms | {p99} | {own} | {database:.0} µs |",
                row.what.text(),
                thousands(rate),
            )?;
        }
        Ok(())
    }

    /// The whole page.
    pub fn page(&self) -> String {
        let head = include_str!("page.md");
        head.replace("{tables}", self.markdown().trim_end())
    }

    /// Each ratio as a bar, in parts of what is promised.
    pub fn picture(&self) -> String {
        const ROW: usize = 46;
        let height = 50 + PROMISES.len() * ROW;
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 760 {height}\" font-family=\"sans-serif\" font-size=\"13\">\n<rect width=\"760\" height=\"{height}\" fill=\"#ffffff\"/>\n<text x=\"20\" y=\"24\" font-size=\"15\">Reached, in parts of what is promised (line)</text>\n"
        );
        let size = self.sizes.last().copied().unwrap_or_default();
        // The line of what is promised stands at a third; three times as much fills the picture.
        let promised = 380.0 + 120.0;
        for (number, promise) in PROMISES.iter().enumerate() {
            let y = 48 + number * ROW;
            let ratio = self.ratio(size, promise);
            let part = match promise.measure {
                Measure::Rate => ratio / promise.target,
                Measure::Latency => promise.target / ratio,
            };
            let width = (part * 120.0).min(360.0);
            let color = if promise.is_kept(ratio) {
                "#2f7d4f"
            } else {
                "#b3541e"
            };
            let name = promise.name().replace('&', "&amp;").replace('`', "");
            let _ = write!(
                text,
                "<text x=\"20\" y=\"{}\">{name}</text>\n<rect x=\"380\" y=\"{y}\" width=\"{width:.0}\" height=\"22\" fill=\"{color}\"/>\n<text x=\"{:.0}\" y=\"{}\">{ratio:.2}</text>\n",
                y + 16,
                386.0 + width,
                y + 16,
            );
        }
        let _ = writeln!(
            text,
            "<line x1=\"{promised}\" y1=\"40\" x2=\"{promised}\" y2=\"{}\" stroke=\"#333333\" stroke-dasharray=\"4 3\"/>\n</svg>",
            height - 8
        );
        text
    }
}
