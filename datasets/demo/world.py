"""A closed little world in two languages, all of it made from one seed: who lives where, works as what, what things cost.

    python world.py SEED OUT     writes heldout-{en,zh}.txt, calibration.txt, facts-{en,zh}/{dev,test}.csv and their HellaSwag forms

The world has 64 people whose names share 8 first and 8 family names: to tell two of them apart a model must keep both in mind. Five facts
of a person are drawn at random; three more follow in two steps (person -> town -> river, say). Training tells all of it in prose
and asks it in questions without options; a quarter of the sums it never sees.
"""
import csv, os, random, sys

EN, ZH = 0, 1
pairs = lambda en, zh: list(zip(en.split(), zh.split(), strict=True))
FIRST = pairs("Ada Ben Cora Dan Ella Finn Gina Hugo",
              "安娜 大宝 小红 志明 美玲 春花 秀英 海涛")
FAMILY = pairs("Archer Brook Dale Grove Hill Moss Reed Wood",
               "林 周 陈 赵 吴 杨 高 罗")
TOWN = pairs("Alton Barrow Castor Dunley Elmford Fairby Gorse Harwick Inver Jarrow Kelby Larkton",
             "东港 西岭 南湾 北原 石桥 柳村 云镇 梅庄 沙河 松林 金山 白滩")
JOB = pairs("baker farmer teacher doctor driver painter singer tailor fisher miner cook guard",
            "面包师 农民 老师 医生 司机 画家 歌手 裁缝 渔夫 矿工 厨师 保安")
COLOUR = pairs("red blue green yellow black white brown purple", "红色 蓝色 绿色 黄色 黑色 白色 棕色 紫色")
PET = pairs("cat dog horse goat duck rabbit parrot turtle", "猫 狗 马驹 山羊 鸭子 兔子 鹦鹉 乌龟")
FOOD = pairs("soup rice bread fish cheese noodles apples pears beans honey", "热汤 米饭 面包 烤鱼 奶酪 面条 苹果 梨子 豆子 蜂蜜")
SIDE = pairs("north south east west", "北方 南方 东方 西方")
RIVER = pairs("Tamble Orrin Wessle Quill Brindle Larch", "清江 白河 龙溪 月川 长水 玉泉")
TOOL = pairs("hammer needle kettle ladder lamp rope bucket whistle brush shovel knife wheel",
             "锤子 针线 水壶 梯子 台灯 绳子 水桶 哨子 刷子 铁铲 小刀 车轮")
THING = pairs("chair table clock cup bowl coat hat scarf drum flute kite ball basket mirror candle bell box bag boat bed",
              "椅子 桌子 闹钟 杯子 饭碗 大衣 帽子 围巾 小鼓 长笛 风筝 皮球 篮子 镜子 蜡烛 铃铛 箱子 书包 小船 木床")
MATERIAL = pairs("wool iron glass clay paper silver", "羊毛 铁 玻璃 陶土 纸 银")
ROOM = pairs("kitchen garden market school library station park bridge", "厨房 花园 市场 学校 图书馆 车站 公园 桥上")
VOCABULARY = dict(first=FIRST, family=FAMILY, home=TOWN, job=JOB, colour=COLOUR, pet=PET, food=FOOD, side=SIDE, river=RIVER,
                  tool=TOOL, thing=THING, material=MATERIAL, room=ROOM)

# relation -> for each language: ways to tell it, and the question. {n} is the name, {v} the value.
TELL = dict(
    home=(["{n} lives in {v}.", "The home of {n} is in {v}."], ["{n}住在{v}。", "{n}的家在{v}。"]),
    job=(["{n} works as a {v}.", "{n} earns a living as a {v}."], ["{n}是一名{v}。", "{n}的工作是{v}。"]),
    colour=(["{n} likes the colour {v}.", "The favourite colour of {n} is {v}."], ["{n}喜欢{v}。", "{n}最喜欢的颜色是{v}。"]),
    pet=(["{n} keeps a {v}.", "At home {n} has a {v}."], ["{n}养了一只{v}。", "{n}家里有一只{v}。"]),
    food=(["{n} loves to eat {v}.", "For lunch {n} takes {v}."], ["{n}爱吃{v}。", "{n}的午饭是{v}。"]),
    side=(["{n} comes from the {v}.", "The home of {n} is in the {v}."], ["{n}来自{v}。", "{n}的家乡在{v}。"]),
    river=(["{n} lives by the river {v}.", "{n} swims in the river {v}."], ["{n}住在{v}边。", "{n}在{v}里游泳。"]),
    tool=(["At work {n} needs a {v}.", "{n} works with a {v}."], ["{n}工作时要用{v}。", "{n}干活离不开{v}。"]))
ASK = dict(
    home=("In which town does {n} live?", "{n}住在哪个地方？"), job=("What is the work of {n}?", "{n}做什么工作？"),
    colour=("Which colour does {n} like best?", "{n}最喜欢什么颜色？"), pet=("Which animal does {n} keep?", "{n}养了什么动物？"),
    food=("What does {n} love to eat?", "{n}爱吃什么？"), side=("From which side of the land comes {n}?", "{n}来自哪个方向？"),
    river=("By which river does {n} live?", "{n}住在哪条河边？"), tool=("Which tool does {n} need at work?", "{n}工作时要用什么？"))
ONE_STEP, TWO_STEP = ["home", "job", "colour", "pet", "food"], ["side", "river", "tool"]
PROMPT = ("Q: {} A:", "问：{} 答：")         # a space and the answer follow, in both languages
SUBJECTS = dict(people=120, two_steps=80, things=20, sums=20)


class World:
    def __init__(self, seed):
        r = random.Random(seed)
        self.seed = seed
        self.towns = {t: dict(side=r.choice(SIDE), river=r.choice(RIVER)) for t in TOWN}
        self.tools = dict(zip(JOB, r.sample(TOOL, len(JOB))))
        self.people = []
        for first in FIRST:
            for family in FAMILY:
                p = dict(first=first, family=family, name=(f"{first[EN]} {family[EN]}", family[ZH] + first[ZH]), home=r.choice(TOWN), job=r.choice(JOB),
                         colour=r.choice(COLOUR), pet=r.choice(PET), food=r.choice(FOOD))
                self.people.append(p | self.towns[p["home"]] | dict(tool=self.tools[p["job"]]))
        self.things = [dict(name=t, price=r.randint(2, 60), material=r.choice(MATERIAL), home=r.choice(TOWN)) for t in THING]
        self.tested_sums = set(r.sample([(a, b) for a in range(1, 21) for b in range(1, 21)], 100))

    # ---- prose
    def tell(self, r, l, p, relation):
        return r.choice(TELL[relation][l]).format(n=p["name"][l], v="\0" + p[relation][l] + "\0")

    def life(self, r, l):
        p = r.choice(self.people)
        return [self.tell(r, l, p, k) for k in r.sample(list(TELL), r.randint(3, 5))]

    def neighbours(self, r, l):
        k = r.choice(list(TELL))
        return [self.tell(r, l, p, k) for p in r.sample(self.people, r.randint(3, 5))]

    def place(self, r, l):
        out = []
        for t in r.sample(TOWN, 2):
            side, river = self.towns[t]["side"], self.towns[t]["river"]
            out += [(f"{t[EN]} lies in the \0{side[EN]}\0.", f"{t[ZH]}在\0{side[ZH]}\0。")[l], (f"Through {t[EN]} runs the river \0{river[EN]}\0.", f"流过{t[ZH]}的河是\0{river[ZH]}\0。")[l]]
        j = r.choice(JOB)
        return out + [(f"Every {j[EN]} needs a \0{self.tools[j][EN]}\0.", f"{j[ZH]}都要用\0{self.tools[j][ZH]}\0。")[l]]

    def wares(self, r, l):
        out = []
        for t in r.sample(self.things, 2):
            n, m, c = t["name"][l], t["material"][l], t["home"][l]
            out += [(f"The {n} costs \0{t['price']}\0 coins.", f"{n}卖 \0{t['price']}\0 元。")[l], (f"The {n} is made of \0{m}\0.", f"{n}是用\0{m}\0做的。")[l],
                    (f"People buy the {n} in \0{c}\0.", f"要买{n}，人们去\0{c}\0。")[l]][:r.randint(2, 3)]
        return out

    def count(self, r, l):
        out = []
        for _ in range(r.randint(3, 5)):
            a, b = r.randint(1, 20), r.randint(1, 20)
            if (a, b) not in self.tested_sums:
                out.append((f"{a} and {b} make \0{a + b}\0.", f"{a} 加 {b} 得 \0{a + b}\0 。")[l])
        return out

    def walk(self, r, l):
        who = [p["name"][l] for p in r.sample(self.people, 2)]
        at, out = {}, []
        for n in who + [r.choice(who)]:
            at[n] = r.choice(ROOM)[l]
            out.append((f"{n} goes to the {at[n]}.", f"{n}去了{at[n]}。")[l])
        n = r.choice(who)
        return out + [(f"Now {n} is in the {at[n]}.", f"现在{n}在{at[n]}。")[l]]

    def prose(self, r, l, mark=""):
        """one document; `mark` stands before and after each value that a reader must know by heart"""
        kind = r.choices([self.life, self.neighbours, self.place, self.wares, self.count, self.walk], [8, 4, 2, 2, 2, 1])[0]
        return (" ", "")[l].join(kind(r, l)).replace("\0", mark) + "\n"

    # ---- questions
    def ask(self, r, l, subject, tested=False):
        """-> question, answer, near misses, all possible answers; `tested` asks a sum that training never sees"""
        if subject in ("people", "two_steps"):
            p, k = r.choice(self.people), r.choice(ONE_STEP if subject == "people" else TWO_STEP)
            kin = [q[k][l] for q in self.people if (q["first"] == p["first"]) != (q["family"] == p["family"])]
            return ASK[k][l].format(n=p["name"][l]), p[k][l], kin, [v[l] for v in VOCABULARY[k]]
        if subject == "things":
            t = r.choice(self.things)
            n, k = t["name"][l], r.choice(["price", "material", "home"])
            if k == "price":
                return (f"How many coins does the {n} cost?", f"{n}卖多少元？")[l], str(t["price"]), [], [str(x["price"]) for x in self.things]
            return {"material": (f"What is the {n} made of?", f"{n}是用什么做的？"), "home": (f"Where do people buy the {n}?", f"人们在哪里买{n}？")}[k][l], t[k][l], [], [v[l] for v in VOCABULARY[k]]
        while True:
            a, b = r.randint(1, 20), r.randint(1, 20)
            if ((a, b) in self.tested_sums) == tested:
                return (f"How much do {a} and {b} make?", f"{a} 加 {b} 得多少？")[l], str(a + b), [], [str(x) for x in range(max(2, a + b - 4), a + b + 5)]

    def questions(self, r, l):
        """answered questions without options, as training sees them: (prompt, answer)"""
        subject = r.choices(list(SUBJECTS), [5, 4, 1, 2])[0]
        for _ in range(r.randint(2, 5)):
            question, answer, *_ = self.ask(r, l, subject)
            yield PROMPT[l].format(question), f" {answer}\n"

    def task(self, l):
        """-> (dev rows, test rows) of (subject, question, four options, index of the right one); no question twice.
        Wrong options are first of all what holds for people who share the first or the family name."""
        r, dev, test = random.Random(self.seed * 1000 + 7 + l), [], []
        for subject, n in SUBJECTS.items():
            seen = set()
            while len(seen) < n + 2:
                question, answer, near, pool = self.ask(r, l, subject, tested=len(seen) < n)
                if question in seen: continue
                seen.add(question)
                wrong = [[x for x in dict.fromkeys(r.sample(xs, len(xs))) if x != answer] for xs in (near, pool)]
                options = [answer] + list(dict.fromkeys(wrong[0] + wrong[1]))[:3]
                r.shuffle(options)
                (test if len(seen) <= n else dev).append((subject, question, options, options.index(answer)))
        return dev, test


def text(world, seed, size, languages, questions=0.0):
    """a text of at least `size` bytes; the share `questions` of its documents are answered questions"""
    r, out, n = random.Random(seed), [], 0
    while n < size:
        l = r.choice(languages)
        d = "".join(p + a for p, a in world.questions(r, l)) if r.random() < questions else world.prose(r, l)
        out.append(d); n += len(d.encode())
    return "".join(out)


def write(world, out):
    os.makedirs(out, exist_ok=True)
    def put(name, s):
        os.makedirs(os.path.dirname(f"{out}/{name}"), exist_ok=True)
        with open(f"{out}/{name}", "w", encoding="utf-8", newline="") as f: f.write(s)
    put("heldout-en.txt", text(world, world.seed * 1000 + 1, 40_000, [EN]))
    put("heldout-zh.txt", text(world, world.seed * 1000 + 2, 40_000, [ZH]))
    put("calibration.txt", text(world, world.seed * 1000 + 3, 160_000, [EN, ZH], questions=0.2))
    for l, code in enumerate(("en", "zh")):
        for split, rows in zip(("dev", "test"), world.task(l)):
            os.makedirs(f"{out}/facts-{code}", exist_ok=True)
            with open(f"{out}/facts-{code}/{split}.csv", "w", encoding="utf-8", newline="") as f:
                c = csv.writer(f, lineterminator="\n")
                c.writerow("id subject question A B C D answer".split())
                c.writerows([f"{split}-{i:03d}", s, q, *o, "ABCD"[a]] for i, (s, q, o, a) in enumerate(rows))
        # the same test for `llama-perplexity --hellaswag`: context, index of the right ending, four endings
        put(f"facts-{code}.hellaswag.txt", "".join("\n".join([PROMPT[l].format(q), str(a), *o]) + "\n" for _, q, o, a in world.task(l)[1]))


if __name__ == "__main__":
    write(World(int(sys.argv[1])), sys.argv[2])
