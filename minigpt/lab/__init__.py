"""Instruments that look at models from outside.

gradcheck, testing  every gradient against finite differences; checks for anybody's code
exercises           checks of the notebooks' exercises
inspect, plot       where attention looks; figures
tokens              where a tokenizer cuts a text
plan                what training would take, on paper
skill               what each checkpoint of a run can do on tasks
scaling             a family of sizes and the laws that their losses follow
exact_attention     how wrong a kernel may be
trace               a kernel at work: which thread touches which number, when
machine             what works on this machine
benchmark           speed: contestants in their own processes, timed in turn
"""
