//! A plot a trace: the hit ratio of each player over the cache's size.

use std::error::Error;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::BindKeyPoints;
use plotters::prelude::ChartBuilder;
use plotters::prelude::Color;
use plotters::prelude::DashedLineSeries;
use plotters::prelude::DrawingArea;
use plotters::prelude::IntoDrawingArea;
use plotters::prelude::IntoFont;
use plotters::prelude::IntoLogRange;
use plotters::prelude::LineSeries;
use plotters::prelude::PathElement;
use plotters::prelude::SVGBackend;
use plotters::prelude::ShapeStyle;
use plotters::prelude::Text;
use plotters::style::BLACK;
use plotters::style::RED;
use plotters::style::WHITE;

use super::field::Role;
use super::results::Results;
use super::results::Row;
use crate::plot::COLOURS;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const SIZE: (u32, u32) = (960, 600);
const FONT: &str = "sans-serif";
/// Where the legend begins, and how far its lines are apart.
const LEGEND: (i32, i32) = (770, 19);
/// Of a dashed line: what is drawn, and what is not.
const DASH: (u32, u32) = (6, 4);

/// Into that directory, one file a trace and number of threads. A line needs two sizes.
pub fn plots(results: &Results, directory: &Path) -> Result<(), Box<dyn Error>> {
    let mut rows = &results.rows[..];
    while let Some(first) = rows.first() {
        let same = rows.iter().take_while(|row| (&row.trace, row.threads) == (&first.trace, first.threads)).count();
        let (these, others) = rows.split_at(same);
        rows = others;
        if these.len() > 1 {
            plot(results, these, &directory.join(file(first)))?;
        }
    }
    Ok(())
}

fn title(row: &Row) -> String {
    if row.threads == 1 { row.trace.clone() } else { format!("{}, {} threads", row.trace, row.threads) }
}

fn file(row: &Row) -> String {
    let plain = |c: char| if c.is_alphanumeric() || "-_.".contains(c) { c } else { '-' };
    title(row).chars().map(plain).collect::<String>() + ".svg"
}

/// A player's ratios by capacity.
struct Curve {
    name: &'static str,
    role: Role,
    style: ShapeStyle,
    points: Vec<(f64, f64)>,
}

fn plot(results: &Results, rows: &[Row], file: &Path) -> Result<(), Box<dyn Error>> {
    let curves = curves(results, rows);
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let highest = points().map(|point| point.1).fold(1.0, f64::max);
    let least = points().map(|point| point.0).fold(f64::MAX, f64::min);
    let most = points().map(|point| point.0).fold(least, f64::max);

    let sizes: Vec<_> = rows.iter().map(|row| row.capacity as f64).collect();

    let area = SVGBackend::new(file, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title(&rows[0]), (FONT, 22))
        .margin(12)
        .margin_right(SIZE.0 as i32 - LEGEND.0 + 12)
        .x_label_area_size(40)
        .y_label_area_size(48)
        .build_cartesian_2d((least..most * 1.001).log_scale().with_key_points(sizes), 0.0..highest * 1.03)?;
    let unit = if rows[0].is_sized { "capacity, weight" } else { "capacity, entries" };
    chart
        .configure_mesh()
        .x_desc(unit)
        .y_desc("hit ratio, percent")
        .x_label_formatter(&|size| format!("{size:.0}"))
        .light_line_style(WHITE)
        .draw()?;
    for curve in &curves {
        let points = curve.points.iter().copied();
        if curve.role == Role::Simulated {
            chart.draw_series(DashedLineSeries::new(points, DASH.0, DASH.1, curve.style))?;
        } else {
            chart.draw_series(LineSeries::new(points, curve.style))?;
        }
    }
    draw_legend(&area, &curves)?;
    area.present()?;
    Ok(())
}

/// The best at the largest size first, so that the legend stands as the lines do.
fn curves(results: &Results, rows: &[Row]) -> Vec<Curve> {
    let mut curves: Vec<_> = (0..results.players.len())
        .map(|player| {
            let (name, role) = results.players[player];
            let points = rows.iter().filter_map(|row| Some((row.capacity as f64, row.ratio(player)?))).collect();
            Curve { name, role, style: style(role, player), points }
        })
        .filter(|curve: &Curve| !curve.points.is_empty())
        .collect();
    let last = |curve: &Curve| curve.points.last().map_or(0.0, |point| point.1);
    curves.sort_by(|a, b| last(b).total_cmp(&last(a)));
    curves
}

fn draw_legend(area: &Area<'_>, curves: &[Curve]) -> Result<(), Box<dyn Error>> {
    let (left, step) = LEGEND;
    for (curve, top) in curves.iter().zip((50..).step_by(step as usize)) {
        let line = if curve.role == Role::Simulated { [0, 7, 13, 20].chunks(2) } else { [0, 20].chunks(2) };
        for piece in line {
            area.draw(&PathElement::new(vec![(left + piece[0], top), (left + piece[1], top)], curve.style))?;
        }
        area.draw(&Text::new(curve.name, (left + 27, top - 6), (FONT, 13).into_font()))?;
    }
    Ok(())
}

/// Brindle thick and red, the optimum black.
fn style(role: Role, player: usize) -> ShapeStyle {
    let (_, others) = COLOURS.split_first().expect("the first is red");
    let colour = others[player % others.len()];
    match role {
        Role::Own => RED.stroke_width(4),
        Role::Optimum => BLACK.stroke_width(2),
        Role::Peer => colour.stroke_width(2),
        Role::Simulated => colour.stroke_width(1),
    }
}
