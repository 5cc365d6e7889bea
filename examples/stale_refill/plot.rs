//! The table as a picture.

use std::fs;
use std::path::Path;
use std::time::Duration;

use plotters::backend::SVGBackend;
use plotters::chart::ChartBuilder;
use plotters::coord::Shift;
use plotters::drawing::DrawingArea;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::drawing::IntoDrawingArea;
use plotters::element::PathElement;
use plotters::element::Rectangle;
use plotters::element::Text;
use plotters::prelude::IntoLogRange;
use plotters::style::Color;
use plotters::style::FontStyle;
use plotters::style::IntoFont;
use plotters::style::RGBColor;
use plotters::style::TextStyle;
use plotters::style::WHITE;
use plotters::style::text_anchor::HPos;
use plotters::style::text_anchor::Pos;
use plotters::style::text_anchor::VPos;

use crate::common::error::Error;
use crate::common::words::duration;
use crate::common::words::grouped;
use crate::run::Outcome;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Drawn<'a> = Result<(), DrawingAreaErrorKind<std::io::Error>>;

const SIZE: (u32, u32) = (1080, 640);
const MARGIN: i32 = 28;
const HEADER: u32 = 84;
const INK: RGBColor = RGBColor(0x22, 0x26, 0x2b);
const FAINT: RGBColor = RGBColor(0x6b, 0x72, 0x7a);
const LINE: RGBColor = RGBColor(0xd9, 0xdc, 0xe0);
/// By place in the table; told apart by lightness as well as by hue.
const COLOURS: [RGBColor; 3] = [RGBColor(0xd9, 0x8f, 0x2b), RGBColor(0x6f, 0x7f, 0xb8), RGBColor(0x1f, 0x6f, 0x5c)];
const PERCENTILES: [(f64, &str); 3] = [(50.0, "p50"), (99.0, "p99"), (99.9, "p99.9")];

/// Draws the outcomes into an SVG file.
pub(crate) fn draw(path: &Path, outcomes: &[Outcome], subtitle: &str) -> Result<(), Error> {
    let mut svg = String::new();
    picture(&mut svg, outcomes, subtitle).map_err(|why| failed(&why))?;
    fs::write(path, svg).map_err(|why| failed(&format!("cannot write {}: {why}", path.display())))
}

fn failed(why: &dyn std::fmt::Display) -> Error {
    Error::Failed(format!("the plot could not be drawn: {why}; give another place with --svg PATH"))
}

fn picture(svg: &mut String, outcomes: &[Outcome], subtitle: &str) -> Drawn<'static> {
    let root = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let (header, body) = root.split_vertically(HEADER);
    header.draw(&Text::new("Rows read through a cache while they change", (MARGIN, 18), bold(22)))?;
    header.draw(&Text::new(subtitle.to_owned(), (MARGIN, 50), text(14, FAINT, HPos::Left)))?;

    let (top, bottom) = body.split_vertically((SIZE.1 - HEADER) / 2);
    let (top, latency) = top.split_horizontally(SIZE.0 / 2);
    let (stale, stay) = {
        let halves = top.split_evenly((1, 2));
        (halves[0].clone(), halves[1].clone())
    };
    bars(&stale, "Stale reads", outcomes, |one| one.stale as f64, |one| grouped(one.stale))?;
    bars(
        &stay,
        "Longest stay of a stale value",
        outcomes,
        |one| one.longest_stay.as_secs_f64(),
        |one| match one.stale {
            0 => "none".to_owned(),
            _ => duration(one.longest_stay),
        },
    )?;
    latencies(&latency, outcomes)?;
    let thirds = bottom.split_evenly((1, 3));
    bars(&thirds[0], "Reads", outcomes, |one| one.reads as f64, |one| grouped(one.reads))?;
    bars(&thirds[1], "Hit ratio", outcomes, Outcome::hit_ratio, |one| format!("{:.2} %", one.hit_ratio() * 100.0))?;
    bars(&thirds[2], "Database loads", outcomes, |one| one.loads as f64, |one| grouped(one.loads))?;
    root.present()
}

/// One bar for each cache, from zero, with its value above and its name below.
fn bars(
    area: &Area<'_>,
    title: &str,
    outcomes: &[Outcome],
    value: impl Fn(&Outcome) -> f64,
    label: impl Fn(&Outcome) -> String,
) -> Drawn<'static> {
    panel_title(area, title)?;
    let highest = outcomes.iter().map(&value).fold(0.0, f64::max);
    let top = if highest > 0.0 { highest * 1.15 } else { 1.0 };
    let slots = outcomes.len() as f64;
    let chart =
        ChartBuilder::on(area).margin(MARGIN).margin_top(48).margin_bottom(44).build_cartesian_2d(0.0..slots, 0.0..top)?;
    let plane = chart.plotting_area();
    plane.draw(&PathElement::new([(0.0, 0.0), (slots, 0.0)], LINE.stroke_width(1)))?;
    for (place, outcome) in outcomes.iter().enumerate() {
        let (left, height) = (place as f64, value(outcome));
        plane.draw(&Rectangle::new([(left + 0.2, 0.0), (left + 0.8, height)], colour(place).filled()))?;
        let foot = within(area, plane.map_coordinate(&(left + 0.5, 0.0)));
        let head = within(area, plane.map_coordinate(&(left + 0.5, height)));
        area.draw(&centred(label(outcome), head, -19, 14, INK))?;
        area.draw(&centred(outcome.name.to_owned(), foot, 9, 13, FAINT))?;
    }
    Ok(())
}

/// Three bars for each cache on a logarithmic scale.
fn latencies(area: &Area<'_>, outcomes: &[Outcome]) -> Drawn<'static> {
    panel_title(area, "Read latency (logarithmic)")?;
    let nanos = |outcome: &Outcome, percent: f64| (outcome.percentile(percent).as_nanos() as f64).max(1.0);
    let all = || outcomes.iter().flat_map(|outcome| PERCENTILES.map(|(percent, _)| nanos(outcome, percent)));
    let bottom = 10_f64.powf(all().fold(f64::INFINITY, f64::min).log10().floor() - 1.0).max(1.0);
    let top = 10_f64.powf(all().fold(1.0, f64::max).log10() + 0.5);
    let slots = outcomes.len() as f64;
    let mut chart = ChartBuilder::on(area)
        .margin(MARGIN)
        .margin_top(48)
        .margin_bottom(44)
        .set_label_area_size(plotters::chart::LabelAreaPosition::Left, 56)
        .build_cartesian_2d(0.0..slots, (bottom..top).log_scale())?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_labels(8)
        .light_line_style(WHITE)
        .bold_line_style(LINE)
        .axis_style(LINE)
        .y_label_style(text(12, FAINT, HPos::Left))
        .y_label_formatter(&|nanos| duration(Duration::from_nanos(*nanos as u64)))
        .draw()?;
    let plane = chart.plotting_area();
    for (place, outcome) in outcomes.iter().enumerate() {
        for (step, (percent, name)) in PERCENTILES.into_iter().enumerate() {
            let left = place as f64 + 0.08 + 0.28 * step as f64;
            let height = nanos(outcome, percent);
            plane.draw(&Rectangle::new([(left + 0.03, bottom), (left + 0.25, height)], colour(place).filled()))?;
            let head = within(area, plane.map_coordinate(&(left + 0.14, height)));
            let foot = within(area, plane.map_coordinate(&(left + 0.14, bottom)));
            area.draw(&centred(duration(outcome.percentile(percent)), head, -16, 11, INK))?;
            area.draw(&centred(name.to_owned(), foot, 5, 11, FAINT))?;
        }
        let foot = within(area, plane.map_coordinate(&(place as f64 + 0.5, bottom)));
        area.draw(&centred(outcome.name.to_owned(), foot, 22, 13, FAINT))?;
    }
    Ok(())
}

fn panel_title(area: &Area<'_>, title: &str) -> Drawn<'static> {
    area.draw(&Text::new(title.to_owned(), (MARGIN, 12), bold(15)))
}

/// Text whose middle is at `place`, `below` pixels further down.
fn centred(words: String, place: (i32, i32), below: i32, size: u32, ink: RGBColor) -> Text<'static, (i32, i32), String> {
    Text::new(words, (place.0, place.1 + below), text(size, ink, HPos::Center))
}

/// The pixel of the picture as a pixel of `area`.
fn within(area: &Area<'_>, pixel: (i32, i32)) -> (i32, i32) {
    let (left, top) = area.get_base_pixel();
    (pixel.0 - left, pixel.1 - top)
}

fn text(size: u32, colour: RGBColor, side: HPos) -> TextStyle<'static> {
    ("sans-serif", size).into_font().color(&colour).pos(Pos::new(side, VPos::Top))
}

fn bold(size: u32) -> TextStyle<'static> {
    ("sans-serif", size).into_font().style(FontStyle::Bold).color(&INK).pos(Pos::new(HPos::Left, VPos::Top))
}

fn colour(place: usize) -> RGBColor {
    COLOURS[place % COLOURS.len()]
}
