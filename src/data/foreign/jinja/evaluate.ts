import { parse, tokenize } from "@huggingface/jinja";
import { arithmetic } from "./arithmetic.js";
import { filters, type TemplateRoom, tests } from "./filters.js";
import { attributeOf, item, member, Namespace, sliced } from "./members.js";
import {
  compare,
  equal,
  fromData,
  holds,
  isNumber,
  members,
  numberOf,
  PyFloat,
  type PyFunction,
  text,
  truth,
  tuple,
  typeName,
  Undefined,
} from "./values.js";

/** A node of the parser's tree, as far as templates of tasks have them. */
type TreeNode =
  | { type: "StringLiteral" | "Identifier" | "Comment"; value: string }
  | { type: "IntegerLiteral" | "FloatLiteral"; value: number }
  | { type: "ArrayLiteral" | "TupleLiteral"; value: TreeNode[] }
  | { type: "ObjectLiteral"; value: Map<TreeNode, TreeNode> }
  | { type: "If"; test: TreeNode; body: TreeNode[]; alternate: TreeNode[] }
  | { type: "For"; loopvar: TreeNode; iterable: TreeNode; body: TreeNode[]; defaultBlock: TreeNode[] }
  | { type: "Set"; assignee: TreeNode; value: TreeNode | null; body: TreeNode[] }
  | { type: "Macro"; name: { value: string }; args: TreeNode[]; body: TreeNode[] }
  | { type: "MemberExpression"; object: TreeNode; property: TreeNode; computed: boolean }
  | { type: "CallExpression"; callee: TreeNode; args: TreeNode[] }
  | { type: "BinaryExpression"; operator: { value: string }; left: TreeNode; right: TreeNode }
  | { type: "UnaryExpression"; operator: { value: string }; argument: TreeNode }
  | { type: "FilterExpression"; operand: TreeNode; filter: TreeNode }
  | { type: "FilterStatement"; filter: TreeNode; body: TreeNode[] }
  | { type: "TestExpression"; operand: TreeNode; negate: boolean; test: TreeNode }
  | { type: "SelectExpression"; lhs: TreeNode; test: TreeNode }
  | { type: "SliceExpression"; start?: TreeNode; stop?: TreeNode; step?: TreeNode }
  | { type: "KeywordArgumentExpression"; key: { value: string }; value: TreeNode }
  | { type: "Ternary"; condition: TreeNode; trueExpr: TreeNode; falseExpr: TreeNode }
  | { type: "Break" | "Continue" | "CallStatement" | "SpreadExpression" | "KeywordSpreadExpression" };

class Scope {
  readonly #names = new Map<string, unknown>();

  constructor(readonly parent?: Scope) {}

  get(name: string): unknown {
    if (this.#names.has(name)) return this.#names.get(name);
    return this.parent?.get(name);
  }

  set(name: string, value: unknown): void {
    this.#names.set(name, value);
  }
}

const constants: Record<string, unknown> = {
  ...{ true: true, false: false, none: null, True: true, False: false, None: null },
};

/** As many as Jinja's own sandbox allows. */
const mostNumbers = 100_000;

const globals: Record<string, PyFunction> = {
  range(args) {
    const [first, second, step = 1] = args.map((one) => (isNumber(one) ? numberOf(one) : Number.NaN));
    const [start, stop] = second === undefined ? [0, first!] : [first!, second];
    if (step === 0) throw new Error("a range with steps of zero");
    const count = Math.max(0, Math.ceil((stop - start) / step));
    if (!(count <= mostNumbers)) throw new Error(`a range of ${count} numbers`);
    return Array.from({ length: count }, (_, i) => start + i * step);
  },
  dict: (args, named) => new Map<unknown, unknown>([...(args[0] instanceof Map ? args[0] : []), ...named]),
  namespace(args, named) {
    const room = new Namespace();
    for (const [key, value] of [...(args[0] instanceof Map ? args[0] : []), ...named])
      room.values.set(text(key), value);
    return room;
  },
};

const comparisons = ["==", "!=", "<", ">", "<=", ">=", "in", "not in"];

/**
 * A Jinja template as lm-eval renders it: with Python's values and methods, blocks that keep their lines' ends, and every name
 * that is not given an error. The tree is @huggingface/jinja's; its own interpreter is made for chat templates, and takes a
 * list for JSON, "1" for 1 and an unknown name for nothing.
 */
export class JinjaTemplate {
  readonly #body: TreeNode[];

  constructor(
    source: string,
    /** All matches of a Python expression replaced; the template's author wrote it. */
    private readonly replaced: TemplateRoom["replaced"],
  ) {
    const unix = source.replace(/\r\n?/g, "\n");
    // The parser takes one line end away, and Jinja is asked to keep it.
    const program = parse(tokenize(unix.endsWith("\n") ? `${unix}\n` : unix, {}));
    this.#body = program.body as unknown as TreeNode[];
  }

  render(row: Record<string, unknown>): string {
    const scope = new Scope();
    for (const [name, value] of Object.entries(row)) scope.set(name, fromCell(value));
    return this.#block(this.#body, scope);
  }

  #block(nodes: readonly TreeNode[], scope: Scope): string {
    return nodes.map((node) => this.#statement(node, scope)).join("");
  }

  #statement(node: TreeNode, scope: Scope): string {
    switch (node.type) {
      case "Comment":
        return "";
      case "If":
        return this.#block(truth(this.#value(node.test, scope)) ? node.body : node.alternate, scope);
      case "For":
        return this.#loop(node, scope);
      case "Set": {
        const value = node.value ? this.#value(node.value, scope) : this.#block(node.body, new Scope(scope));
        this.#assign(node.assignee, value, scope);
        return "";
      }
      case "Macro":
        scope.set(node.name.value, this.#macro(node, scope));
        return "";
      case "FilterStatement":
        return text(this.#filtered(this.#block(node.body, new Scope(scope)), node.filter, scope));
      default:
        return text(this.#value(node, scope));
    }
  }

  #loop(node: Extract<TreeNode, { type: "For" }>, scope: Scope): string {
    const { iterable, loopvar } = node;
    const within = (one: unknown) => {
      const inner = new Scope(scope);
      this.#assign(loopvar, one, inner);
      return inner;
    };
    const select = iterable.type === "SelectExpression" ? iterable : undefined;
    const all = members(this.#value(select?.lhs ?? iterable, scope)).filter(
      (one) => !select || truth(this.#value(select.test, within(one))),
    );
    if (all.length === 0) return this.#block(node.defaultBlock, new Scope(scope));
    return all
      .map((one, i) => {
        const inner = within(one);
        inner.set(
          "loop",
          new Map<unknown, unknown>([
            ["index", i + 1],
            ["index0", i],
            ["revindex", all.length - i],
            ["revindex0", all.length - i - 1],
            ["first", i === 0],
            ["last", i === all.length - 1],
            ["length", all.length],
            ["previtem", i > 0 ? all[i - 1] : new Undefined("there is no previous item")],
            ["nextitem", i < all.length - 1 ? all[i + 1] : new Undefined("there is no next item")],
          ]),
        );
        return this.#block(node.body, inner);
      })
      .join("");
  }

  #assign(to: TreeNode, value: unknown, scope: Scope): void {
    if (to.type === "Identifier") scope.set(to.value, value);
    else if (to.type === "TupleLiteral") {
      const values = members(value);
      if (values.length !== to.value.length) throw new Error(`${to.value.length} names for ${values.length} values`);
      for (const [i, one] of to.value.entries()) this.#assign(one, values[i], scope);
    } else if (to.type === "MemberExpression" && to.property.type === "Identifier") {
      const object = this.#value(to.object, scope);
      if (!(object instanceof Namespace)) throw new Error("only what namespace() made can be changed");
      object.values.set(to.property.value, value);
    } else throw new Error("a `set` of this form is not known");
  }

  #macro(node: Extract<TreeNode, { type: "Macro" }>, outer: Scope): PyFunction {
    return (args, named) => {
      const scope = new Scope(outer);
      for (const [i, one] of node.args.entries()) {
        const [name, other] =
          one.type === "KeywordArgumentExpression"
            ? [one.key.value, one.value]
            : [one.type === "Identifier" ? one.value : "", undefined];
        const given = i < args.length ? args[i] : named.get(name);
        scope.set(name, given ?? (other ? this.#value(other, scope) : new Undefined(`"${name}" is not given`)));
      }
      return this.#block(node.body, scope);
    };
  }

  #value(node: TreeNode, scope: Scope): unknown {
    switch (node.type) {
      case "StringLiteral":
      case "IntegerLiteral":
        return node.value;
      case "FloatLiteral":
        return new PyFloat(node.value);
      case "ArrayLiteral":
        return node.value.map((one) => this.#value(one, scope));
      case "TupleLiteral":
        return tuple(node.value.map((one) => this.#value(one, scope)));
      case "ObjectLiteral":
        return new Map([...node.value].map(([key, one]) => [this.#value(key, scope), this.#value(one, scope)]));
      case "Identifier":
        return this.#named(node.value, scope);
      case "MemberExpression":
        return this.#member(node, scope);
      case "CallExpression":
        return this.#called(node, scope);
      case "BinaryExpression":
        return this.#binary(node, scope);
      case "UnaryExpression": {
        const value = this.#value(node.argument, scope);
        if (node.operator.value === "not") return !truth(value);
        if (!isNumber(value)) throw new Error(`${node.operator.value} of ${typeName(value)}`);
        const number = node.operator.value === "-" ? -numberOf(value) : numberOf(value);
        return value instanceof PyFloat ? new PyFloat(number) : number;
      }
      case "FilterExpression":
        return this.#filtered(this.#value(node.operand, scope), node.filter, scope);
      case "TestExpression": {
        const [name, args] = this.#nameAndArguments(node.test, scope);
        return this.#room.test(name, this.#value(node.operand, scope), args) !== node.negate;
      }
      case "Ternary":
        return this.#value(truth(this.#value(node.condition, scope)) ? node.trueExpr : node.falseExpr, scope);
      case "SelectExpression":
        return truth(this.#value(node.test, scope))
          ? this.#value(node.lhs, scope)
          : new Undefined("an `if` without `else` that is false gives nothing");
      default:
        throw new Error(`${node.type} is not known here`);
    }
  }

  #named(name: string, scope: Scope): unknown {
    if (Object.hasOwn(constants, name)) return constants[name];
    const found = scope.get(name);
    if (found !== undefined) return found;
    return Object.hasOwn(globals, name) ? globals[name] : new Undefined(`there is no column "${name}"`);
  }

  #member({ object, property, computed }: Extract<TreeNode, { type: "MemberExpression" }>, scope: Scope): unknown {
    const value = this.#value(object, scope);
    if (value instanceof Undefined) value.fail();
    if (!computed) {
      if (property.type === "IntegerLiteral") return item(value, property.value);
      const name = property.type === "Identifier" ? property.value : "";
      return attributeOf(value, name) ?? item(value, name);
    }
    if (property.type === "SliceExpression") {
      const [start, stop, step] = [property.start, property.stop, property.step].map((one) =>
        one ? this.#value(one, scope) : null,
      );
      return sliced(value, start, stop, step);
    }
    return member(value, this.#value(property, scope));
  }

  #called(node: Extract<TreeNode, { type: "CallExpression" }>, scope: Scope): unknown {
    const called = this.#value(node.callee, scope);
    if (called instanceof Undefined) called.fail();
    if (typeof called !== "function") throw new Error(`${typeName(called)} is called as a function`);
    const [args, named] = this.#arguments(node.args, scope);
    return (called as PyFunction)(args, named);
  }

  #arguments(nodes: readonly TreeNode[], scope: Scope): [unknown[], Map<string, unknown>] {
    const args: unknown[] = [];
    const named = new Map<string, unknown>();
    for (const node of nodes)
      if (node.type === "KeywordArgumentExpression") named.set(node.key.value, this.#value(node.value, scope));
      else args.push(this.#value(node, scope));
    return [args, named];
  }

  #nameAndArguments(node: TreeNode, scope: Scope): [string, unknown[], Map<string, unknown>] {
    const { callee, args }: { callee: TreeNode; args: TreeNode[] } =
      node.type === "CallExpression" ? node : { callee: node, args: [] };
    if (callee.type !== "Identifier") throw new Error("a filter or a test without a name");
    return [callee.value, ...this.#arguments(args, scope)];
  }

  #filtered(value: unknown, node: TreeNode, scope: Scope): unknown {
    const [name, args, named] = this.#nameAndArguments(node, scope);
    return this.#room.filter(name, value, args, named);
  }

  readonly #room: TemplateRoom = {
    member,
    replaced: (all, pattern, instead, most) => this.replaced(all, pattern, instead, most),
    filter: (name, value, args, named) => {
      if (!Object.hasOwn(filters, name)) throw new Error(`the filter "${name}" is not known here`);
      if (value instanceof Undefined && !["default", "d"].includes(name)) value.fail();
      return filters[name]!(value, args, named, this.#room);
    },
    test: (name, value, args) => {
      if (!Object.hasOwn(tests, name)) throw new Error(`the test "${name}" is not known here`);
      return tests[name]!(value, args);
    },
  };

  #binary(
    { operator: { value: operator }, left, right }: Extract<TreeNode, { type: "BinaryExpression" }>,
    scope: Scope,
  ): unknown {
    const isComparison = (node: TreeNode) =>
      node.type === "BinaryExpression" && comparisons.includes(node.operator.value);
    // Python reads a < b < c as a < b and b < c; the tree no longer says whether there were brackets.
    if (comparisons.includes(operator) && (isComparison(left) || isComparison(right)))
      throw new Error("a comparison of comparisons is not known here");
    const a = this.#value(left, scope);
    if (operator === "and") return truth(a) ? this.#value(right, scope) : a;
    if (operator === "or") return truth(a) ? a : this.#value(right, scope);
    const b = this.#value(right, scope);
    for (const one of [a, b]) if (one instanceof Undefined) one.fail();
    switch (operator) {
      case "==":
        return equal(a, b);
      case "!=":
        return !equal(a, b);
      case "<":
        return compare(a, b) < 0;
      case ">":
        return compare(a, b) > 0;
      case "<=":
        return compare(a, b) <= 0;
      case ">=":
        return compare(a, b) >= 0;
      case "in":
        return holds(b, a);
      case "not in":
        return !holds(b, a);
      case "~":
        return text(a) + text(b);
      default:
        return arithmetic(operator, a, b);
    }
  }
}

/** A float that is whole comes as `{ float }`, for JSON does not tell it from an int. */
function fromCell(value: unknown): unknown {
  return value instanceof PyFloat ? value : fromData(value);
}
