//! cedar-policy's own authorizer over the whole of a world: every policy, every grant in force as a link.

use std::borrow::Cow;

use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, Policy, PolicyId, PolicySet, Request as CedarRequest,
    Schema, SchemaFragment, SlotId, Template,
};
use serde_json::Value;

use super::Answer;
use super::world::{Mode, Plain, Request, World};

pub struct Oracle {
    schema: Schema,
    entities: Entities,
    sets: [(Mode, PolicySet); 3],
}

impl Oracle {
    pub fn new(world: &World) -> Self {
        let base = include_str!("../../../../policies/chancery.cedarschema");
        let base = base.replace("type Meters = {};", "type Meters = { m0: Long, m1: Long };");
        let parts = [&base, &world.schema, &world.tool_schema()]
            .map(|text| SchemaFragment::from_cedarschema_str(text).unwrap().0);
        let schema = Schema::from_schema_fragments(parts).unwrap();
        let entities = Entities::from_json_value(world.all_entities(), Some(&schema)).unwrap();
        let sets = [Mode::Itself, Mode::Human, Mode::Anybody].map(|mode| (mode, policies(world, mode)));
        Self { entities, sets, schema }
    }

    /// What everybody must allow, and every set of limits cover: the first who does not has the last word.
    pub fn answer(&self, request: &Request) -> Answer {
        let mut whole = self.one(request.plain());
        for other in request.others() {
            let answer = self.one(other);
            whole = match (whole.allow, answer.allow) {
                (true, true) => Answer { by: whole.by.union(&answer.by).cloned().collect(), ..answer },
                (true, false) => answer,
                (false, _) => Answer { errors: whole.errors + answer.errors, ..whole },
            };
        }
        if whole.allow && !request.is_within_limits() {
            return Answer { allow: false, by: Default::default(), errors: whole.errors };
        }
        whole
    }

    fn one(&self, plain: Plain) -> Answer {
        let uid = |text: &str| text.parse::<EntityUid>().unwrap();
        let action = uid(&plain.action);
        let context = Context::from_json_value(plain.context, Some((&self.schema, &action))).unwrap();
        let entities = self.with(&plain.stated);
        let asked = CedarRequest::new(uid(&plain.principal), action, uid(&plain.resource), context, None).unwrap();
        let (_, policies) = self.sets.iter().find(|(mode, _)| *mode == plain.mode).unwrap();
        let response = Authorizer::new().is_authorized(&asked, policies, &entities);
        Answer {
            allow: response.decision() == Decision::Allow,
            by: response.diagnostics().reason().map(ToString::to_string).collect(),
            errors: response.diagnostics().errors().count(),
        }
    }

    /// The entities as the request states them.
    fn with(&self, stated: &[Value]) -> Cow<'_, Entities> {
        if stated.is_empty() {
            return Cow::Borrowed(&self.entities);
        }
        let stated = stated.iter().map(|entity| Entity::from_json_value(entity.clone(), Some(&self.schema)).unwrap());
        Cow::Owned(self.entities.clone().upsert_entities(stated, None).unwrap())
    }
}

fn policies(world: &World, mode: Mode) -> PolicySet {
    let mut set = PolicySet::new();
    for (file, text) in &world.policies {
        let id = PolicyId::new(file.trim_end_matches(".cedar"));
        if text.contains("?principal") {
            set.add_template(Template::parse(Some(id), text).unwrap()).unwrap();
        } else {
            set.add(Policy::parse(Some(id), text).unwrap()).unwrap();
        }
    }
    for grant in world.in_force(mode) {
        let template = PolicyId::new(&grant.template);
        if set.template(&template).is_some() {
            let slots = [
                (SlotId::principal(), grant.principal.parse().unwrap()),
                (SlotId::resource(), grant.resource.parse().unwrap()),
            ];
            set.link(template, PolicyId::new(grant.id.as_str()), slots.into()).unwrap();
        }
    }
    set
}
