"""Each way of tampering is found and named; an untouched trail passes.

One trail serves a whole test: what an example does to the database is rolled back, and
what it does to the bucket is put back.
"""
