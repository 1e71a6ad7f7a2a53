"""Run the code of a Markdown page on stock CPU torch and on alt, and compare what it makes.

extract    the fenced code blocks of a document, and their statements
child      the process which runs one document in one way, writing what it sees
ways       what makes a script run on alt: default device, CUDA shim, ``.to("alt")``
observe    what a statement left behind: tensors, modules, numbers, text
values     the form in which observations travel between the processes
compare    do two observations agree?
verdict    what became of each statement, in each way
launch     starts the processes, restarts those which die
report     the table and the JSON file
cli        the command line
"""
