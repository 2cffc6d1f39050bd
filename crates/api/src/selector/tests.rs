use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelectorRequirement;

use super::*;

fn labels(text: &str) -> Labels {
    let pairs = text.split(',').filter(|pair| !pair.is_empty());
    pairs.map(|pair| pair.split_once('=').unwrap()).map(|(k, v)| (k.to_owned(), v.to_owned())).collect()
}

#[test]
fn matching() {
    for (selector, object, expected) in [
        ("", "", true),
        ("", "a=b", true),
        ("a=b", "a=b,c=d", true),
        ("a==b", "a=c", false),
        ("a=", "a=", true),
        ("a=,c=d", "a=,c=d", true),
        ("a!=b", "", true),
        ("a!=b", "a=b", false),
        ("a", "a=x", true),
        ("a", "b=x", false),
        ("!a", "a=x", false),
        (" ! a , b ", "b=x", true),
        ("a in (x, y)", "a=y", true),
        ("a in (x,y)", "a=z", false),
        ("a in (,x)", "a=", true),
        ("a in (x,)", "a=", true),
        ("a notin (x,y)", "a=z", true),
        ("a notin (x,y)", "", true),
        ("in in (in)", "in=in", true),
        ("notin=in", "notin=in", true),
        ("a>5", "a=6", true),
        ("a>5", "a=5", false),
        ("a<5", "a=x", false),
        ("a<5", "", false),
        ("example.com/a=b", "example.com/a=b", true),
    ] {
        let parsed: Selector = selector.parse().unwrap_or_else(|error| panic!("{selector}: {error}"));
        assert_eq!(parsed.matches(&labels(object)), expected, "{selector} on {object}");
        assert_eq!(parsed.to_string().parse::<Selector>().unwrap(), parsed, "{selector}");
    }
}

#[test]
fn messages() {
    for (selector, message) in [
        ("=a", "found '=', expected: !, identifier, or 'end of string'"),
        ("a=b,", "found '', expected: identifier after ','"),
        ("a=b c=d", "found 'c', expected: ',' or 'end of string'"),
        ("a in x", "unable to parse requirement: found 'x', expected: '('"),
        ("a in (x", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("!=a", "found '!=', expected: !, identifier, or 'end of string'"),
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        (
            "a>x",
            "unable to parse requirement: values[0]: Invalid value: \"x\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        (
            "a in ()",
            "unable to parse requirement: values: Invalid value: []: for 'in', 'notin' operators, values set can't be empty",
        ),
    ] {
        assert_eq!(selector.parse::<Selector>().unwrap_err().to_string(), message, "{selector}");
    }
    let error = "a.=b".parse::<Selector>().unwrap_err().to_string();
    assert!(
        error.starts_with("unable to parse requirement: key: Invalid value: \"a.\": name part must consist"),
        "{error}"
    );
    let error = "a=b.".parse::<Selector>().unwrap_err().to_string();
    assert!(
        error.starts_with("unable to parse requirement: values[0][a]: Invalid value: \"b.\": a valid label"),
        "{error}"
    );
}

#[test]
fn from_the_api_object() {
    let expression = |operator: &str, values: &[&str]| LabelSelectorRequirement {
        key: "a".into(),
        operator: operator.into(),
        values: Some(values.iter().map(ToString::to_string).collect()),
    };
    let selector =
        |expression| ApiSelector { match_labels: Some(labels("x=y")), match_expressions: Some(vec![expression]) };
    let text = |api: ApiSelector| Selector::try_from(&api).map(|s| s.to_string()).map_err(|e| e.to_string());
    assert_eq!(text(selector(expression("In", &["c", "b"]))), Ok("a in (b,c),x=y".into()));
    assert_eq!(text(selector(expression("DoesNotExist", &[]))), Ok("!a,x=y".into()));
    assert_eq!(
        text(selector(expression("Near", &["c"]))),
        Err("\"Near\" is not a valid label selector operator".into())
    );
    assert!(!Selector::nothing().matches(&labels("a=b")));
    assert!(Selector::everything().matches_option(None));
    assert!(Selector::from_labels(&labels("a=b")).matches(&labels("a=b,c=d")));
}

#[test]
fn fields() {
    let value_of = |field: &str| match field {
        "metadata.name" => "a,b",
        "spec.nodeName" => "n1",
        _ => "",
    };
    for (selector, expected) in [
        ("", true),
        ("spec.nodeName=n1", true),
        ("spec.nodeName==n1,metadata.name=a\\,b", true),
        ("spec.nodeName!=n1", false),
        ("status.phase=", true),
        ("status.phase!=Failed", true),
    ] {
        let parsed: FieldSelector = selector.parse().unwrap();
        assert_eq!(parsed.matches(value_of), expected, "{selector}");
        assert_eq!(parsed.to_string().parse::<FieldSelector>().unwrap(), parsed);
    }
    for (selector, message) in [
        ("a=b,c", "invalid selector: 'a=b,c'; can't understand 'c'"),
        ("a=b=c", "invalid field selector: unescaped character in value: ="),
        ("a=\\n", "invalid field selector: invalid escape sequence: \\n"),
    ] {
        assert_eq!(selector.parse::<FieldSelector>().unwrap_err().to_string(), message);
    }
    assert_eq!("a=b,c!=d".parse::<FieldSelector>().unwrap().required_value("a"), Some("b"));
}
