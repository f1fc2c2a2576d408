def test_x(small_fit):
    print(small_fit.gate.verdict, small_fit.record)
    print(small_fit.tree)
