//! The schema in force: the base types, the tools' actions, and the fragments of the policy directory.

use std::collections::HashMap;

use cedar_policy_core::ast::{Eid, EntityType, EntityUID};
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::validator::{
    CedarSchemaError, ConditionalName, SchemaError, ValidatorSchema, ValidatorSchemaFragment, json_schema::Fragment,
};
use chancery_model::Meter;
use chancery_model::problem::POLICY_SCHEMA;

use crate::diagnostic::Diagnostic;
use crate::entity;
use crate::files::Files;
use crate::load::describe;
use crate::value::Fields;

/// The base schema: agents, humans, servers, tools and what can be asked of them.
pub const BASE: &str = include_str!("../../../policies/chancery.cedarschema");
/// Its name in a policy directory, where it may stand for Cedar's own tools, but not differ.
pub const BASE_FILE: &str = "chancery.cedarschema";

/// What the base schema says of meters where there are none.
const NO_METERS: &str = "type Meters = {};";

type Part = ValidatorSchemaFragment<ConditionalName, ConditionalName>;

/// The entity types of a schema.
#[derive(Clone, Debug, Default)]
pub(crate) struct Types(HashMap<String, (EntityType, Fields)>);

impl Types {
    fn of(schema: &ValidatorSchema) -> Self {
        let kinds = schema.entity_types().map(|kind| {
            // Copied without its place in the schema's text, which would be kept alive by every entity.
            let name = kind.name().with_loc(None);
            (name.to_string(), (name, Fields::of(kind.attributes())))
        });
        Self(kinds.collect())
    }

    /// A type and its attributes.
    pub fn get(&self, name: &str) -> Option<&(EntityType, Fields)> {
        self.0.get(name)
    }

    /// The names of all types.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// Reads `Type::"id"`.
    pub fn parse(&self, text: &str) -> Result<EntityUID, String> {
        if let Some((kind, id)) = text.strip_suffix('"').and_then(|t| t.split_once("::\""))
            && let Some((kind, _)) = self.0.get(kind)
            && !id.contains(['"', '\\'])
        {
            return Ok(entity::uid(kind, id));
        }
        let parsed: EntityUID = text.parse().map_err(|_| format!("`{text}` is not an entity, written Type::\"id\""))?;
        let (kind, id) = parsed.components();
        let kind = self
            .0
            .get(&kind.to_string())
            .map(|(known, _)| known.clone())
            .ok_or_else(|| format!("there is no entity type `{kind}`"))?;
        Ok(EntityUID::from_components(kind, Eid::new(id.into_smolstr()), None))
    }
}

/// The base schema with these meters in it.
fn base(meters: &[Meter]) -> String {
    let members: String = meters.iter().map(|meter| format!("\n  {}: Long,", meter.name)).collect();
    let end = if members.is_empty() { "" } else { "\n" };
    BASE.replace(NO_METERS, &format!("type Meters = {{{members}{end}}};"))
}

/// The whole schema, or what is wrong with it.
pub(crate) fn build(
    files: &Files,
    tools: &serde_json::Value,
    meters: &[Meter],
) -> Result<(ValidatorSchema, Types), Vec<Diagnostic>> {
    let mut problems = Vec::new();
    let mut parts = Vec::new();
    let mut keep = |result: Result<Part, Diagnostic>| match result {
        Ok(part) => parts.push(part),
        Err(problem) => problems.push(problem),
    };
    keep(text(BASE_FILE, &base(meters)));
    for (name, content) in files.schemas() {
        match name == BASE_FILE {
            true if content == BASE => {}
            true => keep(Err(differs())),
            false => keep(text(name, content)),
        }
    }
    keep(Fragment::from_json_value(tools.clone()).and_then(Part::from_schema_fragment).map_err(|e| generated(&e)));
    if !problems.is_empty() {
        return Err(problems);
    }
    let schema = ValidatorSchema::from_schema_fragments(parts, Extensions::all_available())
        .map_err(|e| vec![describe(whole_file(files), POLICY_SCHEMA, &e, None)])?;
    let types = Types::of(&schema);
    Ok((schema, types))
}

/// The parts of the schema as text, each under its file's name: base types, the directory's own, the tools' actions.
pub(crate) fn written(files: &Files, tools: &serde_json::Value, meters: &[Meter]) -> String {
    let own = files.schemas().filter(|(name, _)| *name != BASE_FILE);
    let own: String = own.map(|(name, content)| format!("\n// {name}\n{content}")).collect();
    let made = Fragment::from_json_value(tools.clone()).ok().and_then(|fragment| fragment.to_cedarschema().ok());
    let made = made.filter(|text| !text.trim().is_empty());
    let made = made.map_or_else(String::new, |text| format!("\n// actions of the pinned tools\n{text}"));
    format!("{}{own}{made}", base(meters))
}

fn text(name: &str, content: &str) -> Result<Part, Diagnostic> {
    let parsed = Fragment::from_cedarschema_str(content, Extensions::all_available());
    let (fragment, _) = parsed.map_err(|e| match &e {
        CedarSchemaError::Parsing(parse) => describe(name, POLICY_SCHEMA, parse, Some(content)),
        other => describe(name, POLICY_SCHEMA, other, Some(content)),
    })?;
    Part::from_schema_fragment(fragment).map_err(|e| describe(name, POLICY_SCHEMA, &e, Some(content)))
}

fn differs() -> Diagnostic {
    Diagnostic::error(BASE_FILE, POLICY_SCHEMA, "this file differs from the base schema of this version")
        .suggest("replace it by the output of `chancery policy schema --base`, or remove it; put your own types into another *.cedarschema file")
}

fn generated(error: &SchemaError) -> Diagnostic {
    Diagnostic::error(
        "(tools)",
        POLICY_SCHEMA,
        format!("the actions of the pinned tools do not form a schema: {error}"),
    )
}

/// The file a problem of the merged schema is reported under: the directory's own fragment where there is one.
fn whole_file(files: &Files) -> &str {
    files.schemas().map(|(name, _)| name).find(|name| *name != BASE_FILE).unwrap_or(BASE_FILE)
}

/// The action `Action::"id"`, or of a namespace where the text says so.
pub(crate) fn action_uid(name: &str) -> Option<EntityUID> {
    if name.ends_with('"') && name.contains("Action::\"") {
        return name.parse().ok();
    }
    entity::entity_type("Action").map(|kind| entity::uid(&kind, name))
}
