//! `GET /v1/servers`

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use chancery_store::tools;
use serde::Serialize;

use crate::failure::Answer;
use crate::input::Items;
use crate::rooms::Rooms;
use crate::{Transport, Upstream};

/// A server as the API shows it. Commands are in the configuration file and nowhere else.
#[derive(Debug, Serialize)]
pub(crate) struct View {
    name: String,
    mcp_url: String,
    transport: &'static str,
    upstream: Option<String>,
    secret: Option<String>,
    tools: usize,
}

/// The servers of the configuration, with the URL agents use.
pub(crate) async fn handle(State(rooms): State<Arc<Rooms>>) -> Answer<Json<Items<View>>> {
    let known = tools::all(&rooms.store).await?;
    let view = |(name, upstream): (&String, &Upstream)| View {
        name: name.clone(),
        mcp_url: rooms.mcp_resource(name),
        transport: transport(&upstream.transport),
        upstream: match &upstream.transport {
            Transport::Http(url) => Some(url.clone()),
            Transport::Stdio(_) => None,
        },
        secret: upstream.inject.as_ref().map(|inject| inject.secret.clone()),
        tools: known.iter().filter(|tool| tool.server == *name).count(),
    };
    Ok(Json(rooms.config.servers.iter().map(view).collect()))
}

fn transport(transport: &Transport) -> &'static str {
    match transport {
        Transport::Http(_) => "http",
        Transport::Stdio(_) => "stdio",
    }
}
