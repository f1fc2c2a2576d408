"""Word lists of the surface features: everyday and technical words that tell what a prompt is about.

All in lower case; a word may be in several lists.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NUMBER_WORDS = _words("""
    two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty ninety hundred thousand
    million billion dozen half third quarter fourth fifth tenth twice double triple thrice pair both
""")

ALGEBRA_WORDS = _words("""
    equation equations polynomial polynomials function functions root roots zeros coefficient
    coefficients quadratic linear cubic complex real matrix matrices vector vectors sequence series
    logarithm log ln limit derivative integral inverse domain range sin cos tan cot sec csc arcsin
    arccos arctan sine cosine tangent sqrt maximum minimum inequality expression variable constant
""")

NUMBER_THEORY_WORDS = _words("""
    integer integers prime primes divisible divisor divisors divides factor factors multiple multiples
    remainder modulo mod gcd lcm digit digits even odd base congruent perfect cube palindrome
""")

GEOMETRY_WORDS = _words("""
    triangle triangles circle circles square squares rectangle rectangles rectangular polygon hexagon
    pentagon octagon trapezoid parallelogram quadrilateral angle angles area perimeter volume radius
    diameter circumference sphere cone cylinder cube pyramid tetrahedron prism diagonal diagonals
    parallel perpendicular midpoint vertex vertices side sides edge edges point points line segment
    chord tangent arc plane altitude hypotenuse bisector inscribed circumscribed coordinate coordinates
    parabola ellipse
""")

CHANCE_WORDS = _words("""
    probability probabilities random randomly chance likely dice die coin coins card cards deck marble
    marbles ways arrange arranged arrangements permutation permutations combination combinations
    committee choose chosen select selected expected different distinct distinguishable outcomes
""")

SCIENCE_WORDS = _words("""
    energy force mass velocity acceleration gravity pressure temperature heat light wave waves frequency
    quantum particle particles electron electrons proton neutron atom atoms nucleus molecule molecules
    compound compounds reaction reactions acid base oxygen hydrogen carbon nitrogen solution bond bonds
    ion ions metal chemical cell cells gene genes protein proteins dna rna enzyme species organism
    organisms plant plants animal animals blood tissue bacteria virus disease earth sun moon planet
    planets star stars water soil rock climate
""")

TIME_WORDS = _words("""
    second seconds minute minutes hour hours hourly day days daily week weeks weekly weekend month
    months monthly year years yearly decade century today tomorrow yesterday morning afternoon evening
    night noon midnight monday tuesday wednesday thursday friday saturday sunday january february march
    april june july august september october november december ago later before after until old older
    younger age
""")

UNIT_WORDS = _words("""
    mm cm m km inch inches foot feet ft yard yards mile miles metre meter metres meters kilometre
    kilometer kilometres kilometers centimeters centimetres g kg mg gram grams kilogram kilograms ounce
    ounces oz pound pounds lb lbs ton tons litre liter litres liters ml gallon gallons cup cups pint
    quart teaspoon tablespoon degree degrees celsius fahrenheit kelvin mph kmh hz volt volts watt watts
    joule joules newton newtons mol mole moles calories acre acres bytes gb mb
""")

COMPARATIVE_WORDS = _words("""
    more less fewer most least greater larger largest smaller smallest bigger longer shorter taller
    higher lower faster times ratio rate per average mean median total altogether sum difference product
    remaining left rest increase increased decrease decreased proportion fraction percent each every
    share split
""")

LOGICAL_WORDS = _words("""
    all any every some none only exactly least most exists unique always never such satisfying satisfies
    given suppose let assume if then unless whenever therefore because not no nor neither without except
    cannot isn't aren't doesn't don't didn't won't can't true false incorrect following
""")

PRONOUNS = _words("""
    he she him her his hers they them their theirs we us our i me my you your it its
""")

QUESTION_WORDS = _words("""
    who whom whose which what where when why
""")

INSTRUCTIONS = _words("""
    find compute calculate evaluate determine simplify solve express prove show write explain describe
    complete implement translate summarize list identify generate answer factor expand round enter
""")

MONEY_WORDS = _words("""
    dollar dollars cent cents euro euros cost costs price prices pay pays paid buy buys bought sell
    sells sold spend spent earn earns earned money profit salary wage tax discount interest loan bank
    worth
""")
