//! Plots as SVG files: small panels side by side, of bars or of lines, under one title and one legend.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::HPos;
use plotters::style::text_anchor::Pos;
use plotters::style::text_anchor::VPos;

pub struct Bar {
    pub label: String,
    pub value: f64,
    /// From the lower quartile to the upper.
    pub whisker: Option<(f64, f64)>,
}

pub struct Line {
    pub label: String,
    pub points: Vec<(f64, f64)>,
}

pub struct Panel<T> {
    pub title: String,
    pub parts: Vec<T>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Scale {
    Linear,
    Logarithmic,
}

pub struct Axis<'a> {
    pub name: &'a str,
    pub scale: Scale,
    /// What stands beside a tick.
    pub tick: &'a dyn Fn(f64) -> String,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Outcome = Result<(), Box<dyn std::error::Error>>;

const PANEL: (u32, u32) = (380, 260);
const HEAD: u32 = 64;
const COLUMNS: usize = 4;
const FONT: &str = "sans-serif";
const BAR: i32 = 17;
/// Room for the names left of the bars, and for the figures right of them.
const NAMES: i32 = 120;
const FIGURES: i32 = 70;
const LEGEND: i32 = 130;
pub const COLOURS: [RGBColor; 14] = [
    RGBColor(200, 30, 40),
    RGBColor(31, 105, 180),
    RGBColor(44, 140, 60),
    RGBColor(240, 140, 20),
    RGBColor(130, 90, 180),
    RGBColor(140, 85, 70),
    RGBColor(220, 110, 180),
    RGBColor(60, 60, 60),
    RGBColor(160, 165, 30),
    RGBColor(25, 180, 200),
    RGBColor(120, 170, 230),
    RGBColor(150, 210, 130),
    RGBColor(250, 190, 120),
    RGBColor(190, 190, 190),
];

/// Lying bars, each with its figure; those of a panel share a scale, which begins at nought.
pub fn bars(file: &Path, title: &str, panels: &[Panel<Bar>]) -> Result<(), String> {
    let longest = panels.iter().map(|panel| panel.parts.len()).max().unwrap_or(0);
    let height = 40 + longest as u32 * BAR as u32;
    let labels = labels(panels.iter().flat_map(|panel| panel.parts.iter().map(|bar| &bar.label)));
    let draw = || -> Outcome {
        let root = SVGBackend::new(file, size(panels.len(), height)).into_drawing_area();
        for (panel, area) in panels.iter().zip(split(&root, title, panels.len())?) {
            draw_bars(&area, panel, &labels)?;
        }
        Ok(root.present()?)
    };
    draw().map_err(|error| format!("{}: {error}", file.display()))
}

/// Lines over a common axis, each panel with ranges of its own.
pub fn lines(file: &Path, title: &str, x: &Axis<'_>, y: &Axis<'_>, panels: &[Panel<Line>]) -> Result<(), String> {
    let labels = labels(panels.iter().flat_map(|panel| panel.parts.iter().map(|line| &line.label)));
    let draw = || -> Outcome {
        let root = SVGBackend::new(file, size(panels.len(), PANEL.1)).into_drawing_area();
        let areas = split(&root, title, panels.len())?;
        draw_legend(&root, &labels)?;
        for (panel, area) in panels.iter().zip(areas) {
            draw_lines(&area, panel, x, y, &labels)?;
        }
        Ok(root.present()?)
    };
    draw().map_err(|error| format!("{}: {error}", file.display()))
}

/// Each once: the place of a label here is that of its colour.
fn labels<'a>(all: impl Iterator<Item = &'a String>) -> Vec<&'a str> {
    crate::report::distinct(all.map(String::as_str))
}

fn colour(label: &str, labels: &[&str]) -> RGBColor {
    let place = labels.iter().position(|other| *other == label).unwrap_or(0);
    COLOURS[place % COLOURS.len()]
}

fn columns(panels: usize) -> usize {
    panels.clamp(1, COLUMNS)
}

fn size(panels: usize, height: u32) -> (u32, u32) {
    let columns = columns(panels);
    (columns.max(2) as u32 * PANEL.0, HEAD + panels.div_ceil(columns).max(1) as u32 * height)
}

fn split<'a>(root: &Area<'a>, title: &str, panels: usize) -> Result<Vec<Area<'a>>, Box<dyn std::error::Error>> {
    root.fill(&WHITE)?;
    let style = (FONT, 18).into_font().color(&BLACK);
    root.draw(&Text::new(title.to_owned(), (10, 10), style))?;
    let (_, rest) = root.split_vertically(HEAD);
    let columns = columns(panels);
    Ok(rest.split_evenly((panels.div_ceil(columns).max(1), columns)))
}

fn draw_bars(area: &Area<'_>, panel: &Panel<Bar>, labels: &[&str]) -> Outcome {
    let small = (FONT, 12).into_font().color(&BLACK);
    area.draw(&Text::new(panel.title.clone(), (10, 6), (FONT, 14).into_font().color(&BLACK)))?;
    let end = |bar: &Bar| bar.whisker.map_or(bar.value, |(_, above)| above.max(bar.value));
    let most = panel.parts.iter().map(end).filter(|end| end.is_finite()).fold(0.0, f64::max);
    let room = f64::from(area.dim_in_pixel().0 as i32 - NAMES - FIGURES);
    let x = |value: f64| NAMES + if most > 0.0 { (value.max(0.0) / most * room) as i32 } else { 0 };
    for (bar, top) in panel.parts.iter().zip((28..).step_by(BAR as usize)) {
        let middle = top + BAR / 2;
        let left = small.pos(Pos::new(HPos::Right, VPos::Center));
        area.draw(&Text::new(bar.label.clone(), (NAMES - 6, middle), left))?;
        if !bar.value.is_finite() {
            continue;
        }
        let body = [(NAMES, top + 2), (x(bar.value), top + BAR - 2)];
        area.draw(&Rectangle::new(body, colour(&bar.label, labels).mix(0.8).filled()))?;
        if let Some((below, above)) = bar.whisker {
            area.draw(&PathElement::new(vec![(x(below), middle), (x(above), middle)], BLACK))?;
            for end in [x(below), x(above)] {
                area.draw(&PathElement::new(vec![(end, middle - 3), (end, middle + 3)], BLACK))?;
            }
        }
        let right = small.pos(Pos::new(HPos::Left, VPos::Center));
        area.draw(&Text::new(short(bar.value), (x(end(bar)) + 6, middle), right))?;
    }
    Ok(())
}

fn draw_legend(root: &Area<'_>, labels: &[&str]) -> Outcome {
    let across = (root.dim_in_pixel().0 as i32 / LEGEND).max(1);
    for (nth, label) in (0..).zip(labels) {
        let (left, top) = (10 + nth % across * LEGEND, 34 + nth / across * 14);
        root.draw(&Rectangle::new([(left, top), (left + 12, top + 8)], colour(label, labels).filled()))?;
        root.draw(&Text::new((*label).to_owned(), (left + 17, top - 2), (FONT, 12).into_font().color(&BLACK)))?;
    }
    Ok(())
}

fn draw_lines(area: &Area<'_>, panel: &Panel<Line>, x: &Axis<'_>, y: &Axis<'_>, labels: &[&str]) -> Outcome {
    let place = |(at, value): (f64, f64)| (x.scale.place(at), y.scale.place(value));
    let placed = |line: &Line| line.points.iter().copied().map(place).filter(|p| p.0.is_finite() && p.1.is_finite()).collect();
    let lines: Vec<Vec<(f64, f64)>> = panel.parts.iter().map(placed).collect();
    let points = || lines.iter().flatten();
    let floor = if y.scale == Scale::Linear { 0.0 } else { f64::INFINITY };
    let (across, up) = (range(points().map(|p| p.0), f64::INFINITY), range(points().map(|p| p.1), floor));

    let mut chart = ChartBuilder::on(area)
        .caption(&panel.title, (FONT, 14))
        .margin(8)
        .x_label_area_size(34)
        .y_label_area_size(52)
        .build_cartesian_2d(across, up)?;
    chart
        .configure_mesh()
        .x_labels(6)
        .y_labels(6)
        .x_desc(x.name)
        .y_desc(y.name)
        .x_label_formatter(&|at| (x.tick)(x.scale.value(*at)))
        .y_label_formatter(&|at| (y.tick)(y.scale.value(*at)))
        .light_line_style(WHITE)
        .draw()?;
    for (line, points) in panel.parts.iter().zip(lines) {
        let colour = colour(&line.label, labels);
        chart.draw_series(LineSeries::new(points.iter().copied(), colour.stroke_width(2)))?;
        chart.draw_series(points.iter().map(|&point| Circle::new(point, 2, colour.filled())))?;
    }
    Ok(())
}

impl Scale {
    fn place(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::Logarithmic => value.log10(),
        }
    }

    fn value(self, place: f64) -> f64 {
        match self {
            Self::Linear => place,
            Self::Logarithmic => 10_f64.powf(place),
        }
    }
}

/// From the least (but no more than `floor`) to the most, and a little more.
fn range(places: impl Iterator<Item = f64>, floor: f64) -> std::ops::Range<f64> {
    let (least, most) = places.fold((floor, f64::NEG_INFINITY), |(least, most), place| (least.min(place), most.max(place)));
    if !least.is_finite() || !most.is_finite() {
        return 0.0..1.0;
    }
    let more = if most > least { (most - least) * 0.05 } else { 0.5 };
    least..most + more
}

/// Three digits that count, and no more than it has.
pub fn short(value: f64) -> String {
    match value.abs() {
        whole if whole < 1e4 && whole.fract() == 0.0 => format!("{value:.0}"),
        large if large >= 1e6 => format!("{:.2}M", value / 1e6),
        large if large >= 1e4 => format!("{:.1}k", value / 1e3),
        middle if middle >= 100.0 => format!("{value:.0}"),
        middle if middle >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
