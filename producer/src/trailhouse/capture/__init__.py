"""What can be found out by looking: at the process, its code, its data and its models.

Every function here takes a thing, returns the matching event's fields as a plain dict (without the envelope), and has
no other effect. Odd things are recorded as far as they can be; only plainly wrong arguments raise a TrailhouseError.
Nothing is imported that the program does not already use: pandas, Polars, Arrow, scikit-learn, XGBoost and PyTorch are
recognised by the names of their classes.
"""
