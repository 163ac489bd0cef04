# %% [markdown]
# # 00 Exercises: Tiny
#
# They go with [the chapter](../00_tiny.ipynb).

# %%
numbers = [1, 2, 3]

# %% [markdown]
# ## 1. Add
#
# *Objective 1.* Write `add(numbers)`, which returns the sum of a list.


# %% answer="add"
def add(numbers):
    ### BEGIN SOLUTION
    return sum(numbers)
    ### END SOLUTION


# %% check="add" points=2
assert add(numbers) == 6, "the sum of 1, 2, 3 is 6: did you add all of them?"
assert add([]) == 0, "nothing adds up to 0"


# %% wrong="add"
# Forgets that a list may be empty.
def add(numbers):
    return numbers[0] + sum(numbers[1:]) if numbers else None


# %% [markdown]
# ## 2. Design your own
#
# *Objective 2.* Give `mine` numbers that add up to ten.

# %% answer="own"
### BEGIN SOLUTION
mine = [4, 6]
### END SOLUTION

# %% check="own" points=1
assert add(mine) == 10, f"they add up to {add(mine)}"

# %% wrong="own"
mine = [4, 5]
