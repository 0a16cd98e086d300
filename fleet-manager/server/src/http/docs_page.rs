//! The API's description as a page to read: plain HTML without scripts, made from the description itself.

use std::fmt::Write as _;

use serde_json::{Map, Value};

const STYLE: &str = include_str!("docs_page.css");
const METHODS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// The whole page.
pub(super) fn render(description: &Value) -> String {
    let mut page = Page(String::with_capacity(256 << 10));
    let info = description.get("info");
    let title = text(info, "title");
    page.raw("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>");
    page.text(&format!("{title} API"));
    let _ = write!(page.0, "</title><style>{STYLE}</style></head><body>");
    let groups = groups(description);
    page.navigation(&groups);
    page.raw("<main><h1>");
    page.text(&format!("{title} API {}", text(info, "version")));
    page.raw("</h1>");
    page.paragraphs(&text(info, "description"));
    page.raw("<p>For programs: <a href=\"/api/v1/openapi.json\">openapi.json</a> (OpenAPI 3.1).</p>");
    for (tag, operations) in &groups {
        let _ = write!(page.0, "<section id=\"{tag}\"><h2>{tag}</h2>");
        for operation in operations {
            page.operation(operation);
        }
        page.raw("</section>");
    }
    page.raw("<section id=\"types\"><h2>Types</h2>");
    if let Some(schemas) = description.pointer("/components/schemas").and_then(Value::as_object) {
        for (name, schema) in schemas {
            page.schema(name, schema);
        }
    }
    page.raw("</section></main></body></html>\n");
    page.0
}

struct Operation<'a> {
    method: &'static str,
    path: &'a str,
    value: &'a Value,
}

/// Operations by tag, in the order of the tags' first paths.
fn groups(description: &Value) -> Vec<(String, Vec<Operation<'_>>)> {
    let mut groups: Vec<(String, Vec<Operation<'_>>)> = Vec::new();
    for (path, item) in description.get("paths").and_then(Value::as_object).into_iter().flatten() {
        for method in METHODS {
            let Some(value) = item.get(method) else { continue };
            let tag = value.pointer("/tags/0").and_then(Value::as_str).unwrap_or("other").to_owned();
            let operation = Operation { method, path, value };
            match groups.iter_mut().find(|(name, _)| *name == tag) {
                Some((_, operations)) => operations.push(operation),
                None => groups.push((tag, vec![operation])),
            }
        }
    }
    groups
}

fn text(value: Option<&Value>, key: &str) -> String {
    value.and_then(|value| value.get(key)).and_then(Value::as_str).unwrap_or_default().to_owned()
}

struct Page(String);

impl Page {
    fn raw(&mut self, html: &str) {
        self.0.push_str(html);
    }

    fn text(&mut self, text: &str) {
        for char in text.chars() {
            match char {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                other => self.0.push(other),
            }
        }
    }

    /// Paragraphs, with `code` in them.
    fn paragraphs(&mut self, text: &str) {
        for paragraph in text.split("\n\n").filter(|paragraph| !paragraph.trim().is_empty()) {
            self.raw("<p>");
            self.code_in(paragraph);
            self.raw("</p>");
        }
    }

    fn code_in(&mut self, text: &str) {
        for (index, part) in text.split('`').enumerate() {
            if index % 2 == 1 {
                self.raw("<code>");
                self.text(part);
                self.raw("</code>");
            } else {
                self.text(part);
            }
        }
    }

    fn navigation(&mut self, groups: &[(String, Vec<Operation<'_>>)]) {
        self.raw("<nav aria-label=\"Contents\">");
        for (tag, _) in groups {
            let _ = write!(self.0, "<a href=\"#{tag}\">{tag}</a>");
        }
        self.raw("<a href=\"#types\">Types</a></nav>");
    }

    fn operation(&mut self, operation: &Operation<'_>) {
        let value = operation.value;
        let _ = write!(self.0, "<article><h3><span class=\"method {0}\">{0}</span> <code>", operation.method);
        self.text(operation.path);
        self.raw("</code></h3><p class=\"summary\">");
        self.text(&text(Some(value), "summary"));
        self.raw("</p>");
        self.paragraphs(&text(Some(value), "description"));
        if let Some(parameters) = value.get("parameters").and_then(Value::as_array) {
            self.raw("<h4>Parameters</h4><table>");
            for parameter in parameters {
                self.raw("<tr><th><code>");
                self.text(&text(Some(parameter), "name"));
                self.raw("</code></th><td>");
                self.text(&text(Some(parameter), "in"));
                self.raw("</td><td>");
                self.kind(parameter.get("schema").unwrap_or(&Value::Null));
                self.raw("</td><td>");
                self.code_in(&text(Some(parameter), "description"));
                self.raw("</td></tr>");
            }
            self.raw("</table>");
        }
        if let Some(schema) = value.pointer("/requestBody/content/application~1json/schema") {
            self.raw("<h4>Body</h4><p>");
            self.kind(schema);
            self.raw("</p>");
        }
        if let Some(responses) = value.get("responses").and_then(Value::as_object) {
            self.raw("<h4>Answers</h4><table>");
            for (status, response) in responses {
                self.raw("<tr><th>");
                self.text(status);
                self.raw("</th><td>");
                self.code_in(&text(Some(response), "description"));
                self.raw("</td><td>");
                let content = response.get("content").and_then(Value::as_object);
                for body in content.into_iter().flat_map(Map::values) {
                    self.kind(body.get("schema").unwrap_or(&Value::Null));
                }
                self.raw("</td></tr>");
            }
            self.raw("</table>");
        }
        self.raw("</article>");
    }

    fn schema(&mut self, name: &str, schema: &Value) {
        self.raw("<article id=\"type-");
        self.text(name);
        self.raw("\"><h3><code>");
        self.text(name);
        self.raw("</code></h3>");
        self.paragraphs(&text(Some(schema), "description"));
        let variants = schema.get("oneOf").or_else(|| schema.get("allOf")).and_then(Value::as_array);
        if let Some(variants) = variants {
            self.raw("<ul>");
            for variant in variants {
                self.raw("<li>");
                if variant.get("properties").is_some() {
                    self.properties(variant);
                } else {
                    self.kind(variant);
                }
                self.raw("</li>");
            }
            self.raw("</ul>");
        } else if schema.get("properties").is_some() {
            self.properties(schema);
        } else {
            self.raw("<p>");
            self.kind(schema);
            self.raw("</p>");
        }
        self.raw("</article>");
    }

    fn properties(&mut self, schema: &Value) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let required: Vec<&str> = schema
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        self.raw("<table>");
        for (name, property) in properties.into_iter().flatten() {
            self.raw("<tr><th><code>");
            self.text(name);
            self.raw("</code>");
            if !required.contains(&name.as_str()) {
                self.raw(" <small>optional</small>");
            }
            self.raw("</th><td>");
            self.kind(property);
            self.raw("</td><td>");
            self.code_in(&text(Some(property), "description"));
            self.raw("</td></tr>");
        }
        self.raw("</table>");
    }

    /// A schema in one line.
    fn kind(&mut self, schema: &Value) {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let name = reference.rsplit('/').next().unwrap_or_default();
            self.raw("<a href=\"#type-");
            self.text(name);
            self.raw("\">");
            self.text(name);
            self.raw("</a>");
            return;
        }
        if let Some(variants) = schema.get("oneOf").or_else(|| schema.get("anyOf")).and_then(Value::as_array)
        {
            for (index, variant) in variants.iter().enumerate() {
                if index > 0 {
                    self.raw(" or ");
                }
                self.kind(variant);
            }
            return;
        }
        if let Some(values) = schema.get("enum").and_then(Value::as_array) {
            let values: Vec<String> = values.iter().map(Value::to_string).collect();
            self.text(&values.join(" | "));
            return;
        }
        let kind = match schema.get("type") {
            Some(Value::String(kind)) => kind.clone(),
            Some(Value::Array(kinds)) => {
                kinds.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" or ")
            }
            _ => "anything".to_owned(),
        };
        self.text(&kind);
        if let Some(items) = schema.get("items") {
            self.raw(" of ");
            self.kind(items);
        }
        for (key, word) in [("minimum", "≥"), ("maximum", "≤"), ("maxLength", "at most"), ("pattern", "like")]
        {
            if let Some(limit) = schema.get(key) {
                let limit = limit.as_str().map_or_else(|| limit.to_string(), str::to_owned);
                self.raw(" <small>");
                self.text(&format!("{word} {limit}"));
                self.raw("</small>");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_and_type_is_on_the_page() {
        let description = serde_json::to_value(crate::http::description()).unwrap();
        let page = render(&description);
        for path in description["paths"].as_object().unwrap().keys() {
            assert!(page.contains(&format!("<code>{path}</code>")), "{path}");
        }
        for name in description["components"]["schemas"].as_object().unwrap().keys() {
            assert!(page.contains(&format!("id=\"type-{name}\"")), "{name}");
        }
        assert!(!page.contains("<script"), "it needs none");
    }

    #[test]
    fn text_is_text() {
        let mut page = Page(String::new());
        page.code_in("a <b> `c < d` & \"e\"");
        assert_eq!(page.0, "a &lt;b&gt; <code>c &lt; d</code> &amp; &quot;e&quot;");
    }
}
