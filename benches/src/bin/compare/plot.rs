//! Replies per second as bars, in groups by row: [`svg`].

use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use crate::Error;
use crate::report::paired;
use crate::rows::Program;
use crate::stats::Outcome;

const SIZE: (u32, u32) = (1280, 520);
const FONT: &str = "sans-serif";
/// The programs' places in a group; a reflector and fio never meet.
const PLACES: f64 = 3.0;
/// What is empty between groups, in bars.
const GAP: f64 = 0.6;

/// A picture of the outcomes.
///
/// # Errors
///
/// When it cannot be drawn.
pub(crate) fn svg(outcomes: &[Outcome]) -> Result<String, Error> {
    let mut picture = String::new();
    draw(outcomes, &mut picture).map_err(|error| format!("the plot: {error}"))?;
    Ok(picture)
}

fn draw(outcomes: &[Outcome], picture: &mut String) -> Result<(), Box<dyn std::error::Error>> {
    let rows: Vec<_> = paired(outcomes).collect();
    let rate = |outcome: &Outcome, program| outcome.spread(program, |sample| sample.replies_per_second);
    let highest = rows
        .iter()
        .flat_map(|(_, outcome)| outcome.programs.iter().map(|(program, _)| rate(outcome, *program).most))
        .fold(1.0, f64::max);

    let root = SVGBackend::with_string(picture, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .caption("thousand replies per second: median, least and most of the rounds", (FONT, 18))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(48)
        .build_cartesian_2d(0.0..rows.len().max(1) as f64, 0.0..highest / 1e3 * 1.08)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_label_formatter(&|thousands| format!("{thousands:.0}"))
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .draw()?;

    let width = 1.0 / (PLACES + GAP);
    for program in [Program::Ours, Program::Classic, Program::Reflector, Program::Fio] {
        let color = color(program);
        let mut bars = Vec::new();
        let mut spreads = Vec::new();
        let mut values = Vec::new();
        for (group, (_, outcome)) in rows.iter().enumerate() {
            let Some(place) = outcome.programs.iter().position(|(one, _)| *one == program) else { continue };
            let rate = rate(outcome, program);
            let left = group as f64 + width * (GAP / 2.0 + place as f64);
            let middle = left + width / 2.0;
            bars.push(Rectangle::new(
                [(left, 0.0), (left + width * 0.92, rate.median / 1e3)],
                color.filled(),
            ));
            spreads.push(PathElement::new(
                [(middle, rate.least / 1e3), (middle, rate.most / 1e3)],
                BLACK.mix(0.6),
            ));
            let style = (FONT, 11).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Bottom));
            values.push(Text::new(format!("{:.0}", rate.median / 1e3), (middle, rate.most / 1e3), style));
        }
        if bars.is_empty() {
            continue;
        }
        chart
            .draw_series(bars)?
            .label(program.to_string())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], color.filled()));
        chart.draw_series(spreads)?;
        chart.draw_series(values)?;
    }
    for (group, (row, _)) in rows.iter().enumerate() {
        let (x, y) = chart.backend_coord(&(group as f64 + 0.5, 0.0));
        let style = (FONT, 13).into_font().color(&BLACK).pos(Pos::new(HPos::Center, VPos::Top));
        root.draw(&Text::new(row.name, (x, y + 8), style))?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.9))
        .border_style(BLACK.mix(0.3))
        .label_font((FONT, 14))
        .draw()?;
    root.present()?;
    Ok(())
}

fn color(program: Program) -> RGBColor {
    match program {
        Program::Ours => RGBColor(0x1f, 0x6f, 0xb4),
        Program::Classic => RGBColor(0xe0, 0x8a, 0x2c),
        Program::Reflector => RGBColor(0x9a, 0x9a, 0x9a),
        Program::Fio => RGBColor(0x5b, 0x9f, 0x6a),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Sample;

    #[test]
    fn each_row_and_each_program_is_in_the_picture() {
        let sample = Sample {
            replies_per_second: 321_000.0,
            processor_us: 1.0,
            process_us: 1.0,
            p50_us: 1.0,
            p99_us: 1.0,
            retransmits: 0,
        };
        let outcome = |row: &str, bound| Outcome {
            row: row.to_owned(),
            date: String::new(),
            seconds: 1.0,
            links: Default::default(),
            programs: vec![(Program::Ours, vec![sample]), (bound, vec![sample])],
        };
        let picture =
            svg(&[outcome("read-1k-w16", Program::Reflector), outcome("direct-8k-w16", Program::Fio)])
                .expect("a picture");
        for text in ["<svg", "read-1k-w16", "direct-8k-w16", "vblade-rs", "reflector", "fio", "321"] {
            assert!(picture.contains(text), "{text}");
        }
    }

    #[test]
    fn nothing_measured_is_an_empty_picture() {
        assert!(svg(&[]).expect("a picture").contains("<svg"));
    }
}
