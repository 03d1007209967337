//! The graph as a picture: callers to the left of those they call, calls solid, events dotted.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use super::{Edge, Graph};

const BOX: (usize, usize) = (120, 36);
const STEP: (usize, usize) = (200, 72);
const MARGIN: usize = 20;

const HEAD: &str = "  <defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" \
markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0 8 4 0 8z\" fill=\"#555\"/></marker></defs>\n";

impl Graph {
    /// A picture that browsers show. What an edge carries is its tooltip.
    pub fn svg(&self) -> Result<String, fmt::Error> {
        let places = self.places();
        let most = |of: fn(&(usize, usize)) -> usize| places.values().map(of).max().unwrap_or(0);
        let (width, height) = (
            most(|place| place.0) + BOX.0 + MARGIN,
            // Events bow below the boxes.
            most(|place| place.1) + BOX.1 + STEP.1,
        );
        let mut text = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             font-family=\"sans-serif\" font-size=\"14\">\n{HEAD}"
        );
        for (edges, style) in [(&self.calls, ""), (&self.events, " stroke-dasharray=\"3 4\"")] {
            for Edge { from, to, names, .. } in edges {
                let (Some(a), Some(b)) = (places.get(&**from), places.get(&**to)) else { continue };
                writeln!(
                    text,
                    "  <path d=\"{}\" fill=\"none\" stroke=\"#555\"{style} marker-end=\"url(#head)\">\
                     <title>{from} → {to}: {}</title></path>",
                    curve(*a, *b),
                    names.join(", ")
                )?;
            }
        }
        for (service, (x, y)) in &places {
            let (width, height) = BOX;
            writeln!(
                text,
                "  <rect x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"6\" fill=\"#eef\" \
                 stroke=\"#336\"/>\n  <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{service}</text>",
                x + width / 2,
                y + height / 2 + 5
            )?;
        }
        text.push_str("</svg>\n");
        Ok(text)
    }

    /// The upper left corner of each service.
    fn places(&self) -> BTreeMap<&str, (usize, usize)> {
        let mut rows: BTreeMap<usize, usize> = BTreeMap::new();
        let mut places = BTreeMap::new();
        for service in &self.services {
            let column = self.depth(service, &mut Vec::new());
            let row = rows.entry(column).or_default();
            places.insert(&**service, (MARGIN + column * STEP.0, MARGIN + *row * STEP.1));
            *row += 1;
        }
        places
    }

    /// How many calls in a row lead to a service, at most; a circle is cut where it closes.
    fn depth<'a>(&'a self, service: &'a str, above: &mut Vec<&'a str>) -> usize {
        if above.contains(&service) {
            return 0;
        }
        above.push(service);
        let callers = self.calls.iter().filter(|edge| edge.to == service);
        let deepest = callers.map(|edge| self.depth(&edge.from, above) + 1).max().unwrap_or(0);
        above.pop();
        deepest
    }
}

/// From the right of one box to the left of another; back, from below to below.
fn curve(a: (usize, usize), b: (usize, usize)) -> String {
    let (width, height) = BOX;
    if a.0 < b.0 {
        let (x1, y1, x2, y2) = (a.0 + width, a.1 + height / 2, b.0, b.1 + height / 2);
        let middle = usize::midpoint(x1, x2);
        format!("M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}")
    } else {
        let (x1, y1, x2, y2) = (a.0 + width / 2, a.1 + height, b.0 + width / 2, b.1 + height);
        let low = y1.max(y2) + STEP.1 / 2;
        format!("M{x1} {y1} C{x1} {low} {x2} {low} {x2} {y2}")
    }
}
