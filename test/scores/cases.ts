import { random } from "../draws.mjs";

export interface Case {
  by: string;
  said: string;
  answer: string;
  classes: string[];
}

const chinese =
  "今天 75-80 747-4 B5 V_ C++ AT&T 䶮 𠮷 1+1 天气 很好 我们 一起 去 图书馆 研究 量化 模型 的 困惑度 ， 。 《测试》 “引号” 3.14 2024年 北京大学 和 GGUF 工程师 说 ： 第一 段落 问题 答案 ！ 不 能 A股 上涨 了 5% … 　 \n 龘 结婚 的 和 尚未 乒乓球 拍卖 完了".split(
    " ",
  );
const english =
  'The a an model answers questions, quickly. It\'s half-way U.S. 3.14 naïve "quoted" (x) ẞ İ the THE end. \n and, of perplexity . .. 12% don’t '.split(
    " ",
  );
const code =
  "for x in range(10): print(x) # comment `tick` // note \n\n return value; const a = [1, 2]; } { fn()".split(" ");
const numbers =
  "#### 18 ####18 $1,234.50 -3 - 42. 42 0 007 1,000 .5 5. 3/4 ½ Question: answer is $ , . .. $. 12.5% -$7 #### -1,2,3. ####  9 ２０ None Infinity <<2+2=4>> \n".split(
    " ",
  );
const sections = "段落1 段落12 段落 1 12 第3段 Paragraph 4 １２ 答案是 段落2。 ， \n 0012 3.14".split(" ");
const classes = ["体育", "体育新闻", "新闻", "新闻评论", "经济", "国际经济", "军事", "科教"];

/** Texts of the pieces, a few of them like the answer: the same for the same seed. */
export function someCases(by: string, count: number, seed = 1): Case[] {
  const next = random(seed);
  const pick = <T>(from: readonly T[]): T => from[Math.floor(next() * from.length)]!;
  const text = (pieces: string[], most: number, gap: string) =>
    Array.from({ length: Math.floor(next() * most) }, () => pick(pieces)).join(gap);
  const near = (answer: string, other: string) => {
    const cut = Math.floor(next() * ([...answer].length + 1));
    const way = next();
    if (way < 0.15) return answer;
    return way < 0.6 ? [...answer].slice(0, cut).join("") + other : other + [...answer].slice(cut).join("");
  };
  const sum = (): [string, string] => {
    const key = pick(["18", "1,234.50", "-3", "42", "0", "7", "1000", "12.5", "2"]);
    const said = [pick([key, `$${key}`, `${key}.`, key.replace(",", ""), `-${key}`, pick(numbers)])];
    if (next() < 0.6) said.unshift("#### ");
    const around = () => text(numbers, 4, pick([" ", ""]));
    return [[around(), ...said, around()].join(pick([" ", "", "\n"])), `So it is.\n#### ${key}`];
  };
  const draw: Record<string, () => [said: string, answer: string]> = {
    strict: sum,
    flexible: sum,
    retrieval: () => [text(sections, 5, ""), pick(["段落1", "段落12", "段落2", "段落0012"])],
    classification: () => [text([...classes, "的", " "], 5, ""), pick(classes)],
  };
  const free = (): [string, string] => {
    const [pieces, gap] = by === "code_similarity" ? [code, " "] : by.endsWith("en") ? [english, " "] : [chinese, ""];
    // difflib treats long texts in another way.
    const most = by === "code_similarity" && next() < 0.2 ? 120 : 16;
    const answer = text(pieces, most, gap);
    return [near(answer, text(pieces, most, gap)), answer];
  };
  return Array.from({ length: count }, () => {
    const [said, answer] = (draw[by] ?? free)();
    return { by, said, answer, classes: by === "classification" ? classes : [] };
  });
}
