//! Random sets of limits (RFC 9396), and what they cover, read off the JSON: nothing of the house is asked.

use serde_json::{Value, json};

use super::super::rng::Rng;

/// One to three details: most about tools, some about something else.
pub fn set(rng: &mut Rng) -> Value {
    (0..=rng.below(3)).map(|_| detail(rng)).collect()
}

fn detail(rng: &mut Rng) -> Value {
    let server = format!("s{}", rng.below(2));
    if rng.chance(8) {
        return json!({"type": "mcp_resource", "server": server});
    }
    let tools: Vec<String> = (0..4).filter(|_| rng.chance(35)).map(|n| format!("t{n}")).collect();
    let mut constraints = json!({});
    if rng.chance(50) {
        constraints["amount"] = match rng.below(3) {
            0 => json!({"max": rng.below(300)}),
            1 => json!({"min": rng.below(300)}),
            _ => json!({"min": rng.below(150), "max": 150 + rng.below(150)}),
        };
    }
    if rng.chance(15) {
        constraints["note"] = json!({"one_of": rng.pick(&[json!(["alpha"]), json!(["alpha", "beta"]), json!([""])])});
    }
    if rng.chance(15) {
        constraints["urgent"] = json!({"one_of": [rng.chance(50)]});
    }
    if rng.chance(10) {
        constraints["price"] = json!({"max": rng.below(250)});
    }
    let mut detail = json!({"type": "mcp_tool", "server": server, "tools": tools, "constraints": constraints});
    if rng.chance(20) {
        // How many is counted elsewhere.
        detail["calls"] = json!(1 + rng.below(9));
    }
    detail
}

/// Does one of the details cover a call of this tool, as `server/tool`?
pub fn cover(set: &Value, tool: &str, args: &Value) -> bool {
    set.as_array().unwrap().iter().any(|detail| covers(detail, tool, args))
}

fn covers(detail: &Value, tool: &str, args: &Value) -> bool {
    let (server, tool) = tool.split_once('/').unwrap();
    if detail["type"] != "mcp_tool" || detail["server"] != server {
        return false;
    }
    let tools = detail["tools"].as_array().unwrap();
    if !tools.is_empty() && !tools.contains(&json!(tool)) {
        return false;
    }
    detail["constraints"].as_object().unwrap().iter().all(|(name, bound)| {
        let Some(value) = args.get(name) else { return false };
        let least = bound.get("min").is_none_or(|min| value.as_f64().unwrap() >= min.as_f64().unwrap());
        let most = bound.get("max").is_none_or(|max| value.as_f64().unwrap() <= max.as_f64().unwrap());
        let one = bound.get("one_of").is_none_or(|known| known.as_array().unwrap().contains(value));
        least && most && one
    })
}
