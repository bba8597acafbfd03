//! Curves as an SVG: two charts, one above the other, with the same axis of time.

use std::fmt::Write;

use crate::survey::Survey;

const WIDTH: f64 = 900.0;
const CHART: f64 = 260.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 200.0;
const TOP: f64 = 40.0;
const GAP: f64 = 60.0;

const COLOURS: [&str; 8] = [
    "#1b6ca8", "#d1495b", "#2e8b57", "#e08e0b", "#6a4c93", "#00818a", "#8d5524", "#555555",
];

/// One chart.
struct Chart {
    title: &'static str,
    top: f64,
    lines: Vec<(String, Vec<(f64, f64)>)>,
}

/// Resident memory and descriptors of each program over time.
pub(crate) fn draw(survey: &Survey) -> String {
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let memory = chart(survey, "resident memory, MiB", TOP, |kib, _| {
        kib as f64 / 1024.0
    });
    #[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
    let open = chart(survey, "open descriptors", TOP + CHART + GAP, |_, open| {
        open as f64
    });
    let height = TOP + 2.0 * CHART + 2.0 * GAP;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for chart in [memory, open] {
        chart.draw(&mut svg);
    }
    svg.push_str("</svg>\n");
    svg
}

fn chart(
    survey: &Survey,
    title: &'static str,
    top: f64,
    value: impl Fn(u64, usize) -> f64,
) -> Chart {
    let lines = survey.0.iter().map(|(program, samples)| {
        let points = samples.iter();
        let points = points.map(|it| (it.at.as_secs_f64() / 60.0, value(it.kib, it.descriptors)));
        (program.clone(), points.collect())
    });
    Chart {
        title,
        top,
        lines: lines.collect(),
    }
}

impl Chart {
    fn draw(&self, svg: &mut String) {
        let points = self.lines.iter().flat_map(|(_, points)| points);
        let (minutes, most) = points.fold((0.0_f64, 0.0_f64), |(x, y), point| {
            (x.max(point.0), y.max(point.1))
        });
        let (step_x, step_y) = (step(minutes), step(most));
        // Time ends with the samples; values at the next tick.
        let (last_x, last_y) = (
            minutes.max(step_x * 0.01),
            (most / step_y).ceil().max(1.0) * step_y,
        );
        let x = |minutes: f64| LEFT + minutes / last_x * (WIDTH - LEFT - RIGHT);
        let y = |value: f64| self.top + CHART - value / last_y * CHART;
        let bottom = self.top + CHART;
        let (left, right) = (x(0.0), x(last_x));
        let mut add = |text: String| {
            svg.push_str(&text);
            svg.push('\n');
        };
        add(format!(
            "<text x=\"{left}\" y=\"{:.1}\" font-weight=\"bold\">{}</text>",
            self.top - 12.0,
            self.title
        ));
        for tick in ticks(last_y, step_y) {
            let at = y(tick);
            add(format!(
                "<path d=\"M{left} {at:.1}H{right}\" stroke=\"#dddddd\"/>\
                 <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{tick}</text>",
                left - 6.0,
                at + 4.0
            ));
        }
        for tick in ticks(last_x, step_x) {
            let at = x(tick);
            add(format!(
                "<path d=\"M{at:.1} {bottom}v5\" stroke=\"black\"/>\
                 <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{tick}</text>",
                bottom + 18.0
            ));
        }
        add(format!(
            "<path d=\"M{left} {}V{bottom}H{right}\" stroke=\"black\" fill=\"none\"/>\
             <text x=\"{right}\" y=\"{:.1}\" text-anchor=\"end\">minutes</text>",
            self.top,
            bottom + 34.0
        ));
        let colours = COLOURS.iter().cycle();
        for ((at, (name, points)), colour) in (0_u32..).zip(&self.lines).zip(colours) {
            let legend = self.top + 14.0 + 18.0 * f64::from(at);
            let mut line = String::new();
            for (minutes, value) in points {
                write!(line, " {:.1},{:.1}", x(*minutes), y(*value))
                    .expect("a String takes any text");
            }
            add(format!(
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.5\"/>\
                 <path d=\"M{:.1} {:.1}h18\" stroke=\"{colour}\" stroke-width=\"3\"/>\
                 <text x=\"{:.1}\" y=\"{legend:.1}\">{name}</text>",
                line.trim_start(),
                right + 12.0,
                legend - 4.0,
                right + 36.0
            ));
        }
    }
}

/// 1, 2 or 5 times a power of ten, so that there are four to ten ticks.
fn step(most: f64) -> f64 {
    if most <= 0.0 {
        return 1.0;
    }
    let rough = most / 5.0;
    let power = 10_f64.powf(rough.log10().floor());
    let factor = match rough / power {
        it if it < 1.5 => 1.0,
        it if it < 3.5 => 2.0,
        it if it < 7.5 => 5.0,
        _ => 10.0,
    };
    factor * power
}

/// Rounded, or 0.1 taken three times would not read 0.3.
fn ticks(last: f64, step: f64) -> impl Iterator<Item = f64> {
    let tick = move |at: u32| (f64::from(at) * step * 1e6).round() / 1e6;
    (0_u32..)
        .map(tick)
        .take_while(move |tick| *tick <= last * 1.0001)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use super::*;
    use crate::survey::Sample;

    #[test]
    fn ticks_are_round_numbers() {
        let all = |last| ticks(last, step(last)).collect::<Vec<_>>();
        assert_eq!(all(60.0), [0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0]);
        assert_eq!(all(0.6), [0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]);
        assert_eq!(all(9.0), [0.0, 2.0, 4.0, 6.0, 8.0]);
    }

    #[test]
    fn every_program_has_a_curve_in_both_charts() {
        let sample = |minute: u64| Sample {
            at: Duration::from_secs(60 * minute),
            pid: 1,
            kib: 8 * 1024,
            peak_kib: 9 * 1024,
            descriptors: 20,
        };
        let samples: Vec<Sample> = (0..=10).map(sample).collect();
        let programs = ["a/agent", "b/agent"].map(|name| (name.to_owned(), samples.clone()));
        let svg = draw(&Survey(BTreeMap::from(programs)));
        assert_eq!(svg.matches("<polyline").count(), 4);
        assert_eq!(svg.matches(">a/agent</text>").count(), 2);
        // 8 MiB are the whole height of an axis that ends there; ten minutes its whole width.
        assert!(svg.contains("60.0,40.0 "), "{svg}");
        assert!(svg.contains(" 700.0,40.0\""), "{svg}");
    }
}
